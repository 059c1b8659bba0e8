"""Answers pictures over HTTP: `edgecnn serve`. One module a concern; `server.py` puts them together."""
