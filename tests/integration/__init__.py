"""Jobs through real workers."""
