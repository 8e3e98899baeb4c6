"""Workers, messages and Redis are killed; workers of these tests share their Valkey with no other worker."""
