"""The benchmarks: small runs, and the arithmetic of their tables."""
