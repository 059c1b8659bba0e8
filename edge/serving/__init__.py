"""Answers pictures over HTTP: `edgecnn serve`. One module a concern; `serve.py` puts them together."""
