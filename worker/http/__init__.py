"""HTTP calls with a deadline, and the headers that both seams read."""
