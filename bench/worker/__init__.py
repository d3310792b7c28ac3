"""The worker's side of measuring: `python -m bench.worker` is one cell in a fresh process.

Frameworks are imported here alone, and in the pipelines of `bench.inputs`.
"""
