"""Where the messages and the ledger live misbehaves, or is something else."""
