"""Values and pure functions: no clock, no network, no Redis."""
