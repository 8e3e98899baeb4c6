"""PhotoGPT answers wrongly, late or not at all; every job still ends as it should."""
