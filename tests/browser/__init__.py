"""Flower in Chromium, with real workers."""
