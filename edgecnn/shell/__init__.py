"""The command line: options made from declarations, progress, results and exit codes."""
