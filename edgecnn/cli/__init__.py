"""The commands of `edgecnn`: each one parses options, calls a library function and prints the result."""
