"""The records of the sandbox: generations, models, uploads, their journal, and counters."""
