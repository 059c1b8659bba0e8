"""The commands of `edgecnn`: each parses, calls a library function and prints."""
