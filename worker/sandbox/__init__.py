"""A local PhotoGPT over real HTTP, with faults on demand: for the demo, tests, benchmarks and users' own tests.

Start it with `python -m worker.sandbox --help` or `remote.SandboxProcess`. `faults/rules.py` describes fault rules,
`faults/directives.py` what a caller can set for one generation, `control.py` the control API.

`api/` holds the routes and answers of PhotoGPT's API and of the host of its files, `faults/` what can be made to go
wrong, `media/` draws pictures and videos, `state/` holds the records.
"""
