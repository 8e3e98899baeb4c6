"""Measure the service beside its alternatives: `make bench`, or `python -m ops.bench --help`.

`stage` puts up a Valkey and a sandbox for one run, `peers` are the designs that are compared, `measures` hold one
question each, `report` and `plots` write down what came out. Nothing here knows how a worker works: it starts one as an
operator does, enqueues as a producer does, and reads the sandbox's own books. Only `loader` writes to the ledger, by
the store's verbs, where enqueueing 100,000 jobs one by one would take longer than the measurement.
"""
