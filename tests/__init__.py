"""Tests, one folder for each level or subject.

unit          one function or class, without a server
property      the store and the admission queue under random sequences of calls (Hypothesis)
contract      one part against a real neighbour: Valkey, HTTP servers, Celery's own classes; `contract/store` the store
sandbox       the local PhotoGPT, over HTTP
client        the producers' package
cli           the command line
integration   real workers: jobs, canvas, faults of the API and of Redis, kills, signals, metrics, outputs
acceptance    what the pages print: the README's programs, the examples of producers and receivers
browser       Flower, in Chromium
deployment    Docker, Kubernetes, alerts and dashboard: the files agree with the code
alerts        real faults under a real Prometheus
chaos         random kills, then an audit of all records
bench         the benchmarks' own arithmetic
architecture  layers, names, sizes, documents

`golden` and `vendor` hold no tests: the inbox's contract as files, and a second stand-in for PhotoGPT.
"""
