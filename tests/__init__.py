"""Tests, in storeys."""
