"""What operators and developers run beside the service."""
