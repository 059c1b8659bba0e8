"""What commands do that takes convert and benchmarks, which do not know each other."""
