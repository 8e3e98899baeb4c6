"""The command `photogpt-worker`: the rooms `jobs`, `webhooks` and `local`, and the modules that they share."""
