"""The routes and answers of PhotoGPT's API."""
