"""What a job is, without a clock, a network or a store."""
