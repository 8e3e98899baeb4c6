"""The measures: one module per question."""
