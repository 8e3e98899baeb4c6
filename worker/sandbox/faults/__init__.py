"""Faults on demand: actions, rules, directives for single generations, durations and the rate limit."""
