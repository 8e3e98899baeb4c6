"""The producers' package in `ops/client`, against real workers and against the service's own checks."""
