"""Commands about jobs: submit, watch, jobs, show, schedule, cancel, replay and schema."""
