"""The loop of each lane: claim what is due, run its step, apply the decision."""
