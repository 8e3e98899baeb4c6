"""`photogpt-worker status`: the state of the whole service on one screen."""
