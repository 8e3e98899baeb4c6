"""What died comes back; workers of these tests share their Valkey with no other worker."""
