"""A producer's code for type checkers: `good` has no error, and in `bad` each line with a `type: ignore` has one.

`mypy --strict` is a part of `make check`, and reports a `type: ignore` that it does not need.
"""
