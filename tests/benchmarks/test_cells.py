"""`pytest --benchmark-only`: the benchmarks that the package brings."""

from bench.benchmarks import test_cell

__all__ = ["test_cell"]
