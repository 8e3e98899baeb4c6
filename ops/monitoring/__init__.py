"""The dashboard and the alerts: what is shown, and the files that are generated from it."""
