"""The command `photogpt-worker`: the folders `jobs`, `webhooks` and `local`, and the modules that they share."""
