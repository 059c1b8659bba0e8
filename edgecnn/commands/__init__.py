"""A module for each command: the function with what it takes, and what the command line prints."""
