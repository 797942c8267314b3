"""Speed, memory and size of this package beside other packages; see docs/benchmarks.md."""
