"""The steps of jobs, files and webhooks: one verb a file."""
