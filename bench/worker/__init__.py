"""The worker's side of measuring: `python -m bench.worker` is one worker in a fresh process.

Frameworks are imported here alone, and in the pipelines of `bench.data.feeds`. `protocol` says what
a worker may be asked and what it answers.
"""
