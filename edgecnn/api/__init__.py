"""The functions of `import edgecnn`, one per command. They combine convert and benchmarks, which don't know each other."""
