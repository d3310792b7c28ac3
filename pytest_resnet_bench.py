"""What pytest loads of resnet-bench at its start: one option, two fixtures, and no other import.

It is registered under the name `bench.pytest_plugin`, and has a module of its own since projects
that have nothing to do with resnet-bench load it too. Such a project may have a `bench` of its own.
So `bench` is imported only for a test that takes the fixture `measured`, under `--benchmark-only`.
"""

from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from bench.cells import Cell
    from bench.pytest_plugin import Asked, Measured
    from bench.records import Record

ASKED: "pytest.StashKey[Asked]" = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("resnet-bench").addoption(
        "--resnet-bench",
        metavar="OPTIONS",
        default="",
        help="what --benchmark-only measures: options of `resnet-bench run`, in one string such as "
        "'--profile smoke --impl torch_module'",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse at once what `run` would refuse. Raises pytest.UsageError."""
    if not config.pluginmanager.hasplugin("benchmark"):  # pytest loads no plugins by itself
        config.addinivalue_line("markers", "benchmark: options of a benchmark of pytest-benchmark")
    if _wanted(config) and config.getoption("--resnet-bench"):
        _asked(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per cell for whoever takes our `measured`; none without --benchmark-only."""
    if _takes_measured(metafunc.definition):
        if not _wanted(metafunc.config):
            metafunc.parametrize("measured", [], indirect=True)
            return
        from bench.pytest_plugin import cell_id

        try:
            cells = _asked(metafunc.config).cells
        except pytest.UsageError as error:
            raise pytest.Collector.CollectError(str(error)) from None  # its message alone is shown
        metafunc.parametrize("measured", cells, ids=cell_id, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the benchmarks out, rather than skip them, where they were not asked for."""
    if not _wanted(config):
        left_out = [item for item in items if _takes_measured(item)]
        if left_out:
            items[:] = [item for item in items if item not in left_out]
            config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def _resnet_bench_records(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "Measured":
    """The records of all selected cells, measured side by side when the first is needed."""
    from bench.pytest_plugin import records_of

    chosen = [
        cast("Cell", item.callspec.params["measured"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and _takes_measured(item)
    ]
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    say = reporter.write_line if reporter else print
    return records_of(_asked(request.config), chosen, tmp_path_factory.mktemp("logs"), say)


@pytest.fixture
def measured(request: pytest.FixtureRequest, _resnet_bench_records: "Measured") -> "list[Record]":
    """The records of one cell, one per process, their values in the benchmark's `extra_info`.

    A cell that failed fails its test; one that cannot run here is skipped, unless it was named.
    """
    from bench.pytest_plugin import check, inform

    records = _resnet_bench_records.records[request.param]
    check(records, by_name=request.param in _asked(request.config).named)
    benchmark = request.getfixturevalue("benchmark")  # not before: it warns where it is not used
    inform(benchmark, request.param, _resnet_bench_records)
    return records


def _wanted(config: pytest.Config) -> bool:
    return bool(config.getoption("benchmark_only", False))


def _asked(config: pytest.Config) -> "Asked":
    """What `--resnet-bench` asks for, read once. Raises pytest.UsageError."""
    if ASKED not in config.stash:
        from bench.pytest_plugin import asked

        config.stash[ASKED] = asked(config.getoption("--resnet-bench"))
    return config.stash[ASKED]


def _takes_measured(item: object) -> bool:
    """Whether a test takes our `measured`, and none of its own that happens to have this name."""
    fixtures = getattr(item, "_fixtureinfo", None)  # no public name tells whose fixture it is
    found = fixtures.name2fixturedefs.get("measured", ()) if fixtures else ()
    return any(getattr(each.func, "__module__", None) == __name__ for each in found[-1:])
