"""Every cell of the matrix as one benchmark of pytest-benchmark.

pytest --benchmark-only --resnet-bench '--profile smoke' --pyargs bench.benchmarks
"""

import pytest

from bench.pytest_plugin import replay, seconds_per_step
from bench.records import Record


@pytest.mark.benchmark(timer=replay)
def test_cell(measured: list[Record], benchmark) -> None:
    replay.play(benchmark, seconds_per_step(measured))
