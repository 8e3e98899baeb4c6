"""PhotoGPT does everything wrong that an API can do wrong; every job comes out right all the same."""
