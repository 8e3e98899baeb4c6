"""The examples of `ops/producers`, run as processes."""
