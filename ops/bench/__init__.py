"""Measure the service beside its alternatives: `make bench`, or `python -m ops.bench --help`.

`stage` starts a Valkey and a sandbox for one run, `peers` are the designs that are compared, each module of `measures`
answers one question, `report` and `plots` write the results. A measure starts a worker as an operator does, enqueues as
a producer does, and reads the sandbox's counters. Only `loader` calls the worker's own code, its store, because
enqueueing 100,000 jobs one by one would take longer than the measurement.

Three modules are commands of their own: `receivers` (do a dead and a slow webhook receiver delay the others?),
`metrics_cost` (what do metrics cost?) and `simulate` (the worker's scheduling code on a simulated clock).
"""
