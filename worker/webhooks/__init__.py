"""Signs and sends webhooks."""
