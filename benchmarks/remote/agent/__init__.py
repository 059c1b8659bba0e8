"""The agent on the device: it arrives as text over ssh, runs in the device's python3, and ends with the connection.

It uses only the standard library and Python 3.7, so that a board whose Python is too old for edgecnn says so in a sentence.
Its modules import each other alone. Standard input carries the request, the files and answers to questions; its end means that
the requester is gone, and everything started here ends too. Standard output carries events, one JSON list per line.

Below `~/.cache/edgecnn`:

    files/SHA-256/NAME   files that were sent; the bundles and wheels used last
    venv/                the virtual environment that edgecnn bench installed
    run/                 exists during a run: partial files, and the temporary folder of the run

What `edgecnn deploy` leaves is in `~/.local/share/edgecnn`: see releases.py.
"""
