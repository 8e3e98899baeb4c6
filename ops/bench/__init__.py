"""Measure the service beside its alternatives: `make bench`, or `python -m ops.bench --help`.

`stage` starts a Valkey and a sandbox for one run, `peers` are the designs that are compared, each module of `measures`
answers one question, `report` and `plots` write the results. The benchmark uses no internals of the worker: it starts
one as an operator does, enqueues as a producer does, and reads the sandbox's counters. Only `loader` writes to Redis
through the store, because enqueueing 100,000 jobs one by one would take longer than the measurement.
"""
