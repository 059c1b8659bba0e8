"""The page without a server: what runs the model in a browser, and what writes it into a folder."""
