"""A local PhotoGPT over real HTTP, with faults on demand: for the demo, tests, benchmarks, and our users' own tests.

Start it with `python -m worker.sandbox --help` or `remote.SandboxProcess`. What can go wrong is in `faults.py`, how a
single generation is told what to do in `wishes.py`, and what tests may ask in `control.py`.
"""
