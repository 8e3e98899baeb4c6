"""Commands about webhooks: history, resending, endpoints, keys, a receiver to try, and a test of a receiver."""
