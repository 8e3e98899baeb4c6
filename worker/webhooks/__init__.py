"""Sending webhooks: signature, address guard, one attempt."""
