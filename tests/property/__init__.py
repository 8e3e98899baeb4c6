"""Rules that hold for every sequence of calls, tried with random ones."""
