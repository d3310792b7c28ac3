"""The wheel: what it holds, and that it works in any folder, without the checkout."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from email.message import Message
from email.parser import BytesParser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench import __version__
from resnet_impls.catalogue import CATALOGUE

ROOT = Path(__file__).parents[1]
PACKAGES = ("bench", "resnet_impls")
# What comes with a driver, or needs a GPU, and is asked only where it is there
OFFERED = ("amdsmi", "torch_tensorrt")
FILES = ("pytest_resnet_bench.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "docs/package.md")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FAKE = "--no-certify --profile smoke --workload train --optimizer sgd --impl fake.py"

Run = Callable[..., subprocess.CompletedProcess[str]]


def sources() -> set[str]:
    """All files of the packages, relative to the root."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build leaves files in the folder of its sources."""
    copy = tmp_path_factory.mktemp("sources")
    for name in [*sources(), *FILES]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    out = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", out, copy)
    [built] = out.iterdir()
    return built


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel, which sees the frameworks that are here."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    [site] = folder.glob("lib/python*/site-packages")
    (site / "here.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder / "bin"


@pytest.fixture
def run(scripts: Path, tmp_path: Path) -> Run:
    """Run a program of the environment in a folder with nothing but the fake implementation."""
    shutil.copy(ROOT / "tests" / "fake_implementation.py", tmp_path / "fake.py")
    # no path to the checkout, and no word of the pytest that runs this
    ours = ("PYTHONPATH", "PYTEST", "COV", "XDG_CACHE_HOME")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environ |= {"COLUMNS": "200", "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def finish(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [scripts / program, *map(str, arguments)],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return finish


def pip(*arguments: object) -> None:
    words = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    finished = subprocess.run(words, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def read_metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return BytesParser().parsebytes(archive.read(name))


def declared(*extras: str) -> set[str]:
    """What is installed with extras of ours, without what that needs in turn."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    found = set()
    for requirement in map(Requirement, lines):
        if requirement.name == "resnet-bench":
            found |= declared(*requirement.extras)
        else:
            found.add(canonicalize_name(requirement.name))
    return found


def test_the_wheel_holds_both_packages_and_the_plugin_whole_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    held = {name for name in names if ".dist-info/" not in name}
    assert held == sources() | {"pytest_resnet_bench.py"}
    assert {f"{package}/py.typed" for package in PACKAGES} <= held
    assert {"bench/benchmarks.py", "bench/reports/formats/page/page.html"} <= held
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_its_metadata_is_that_of_this_version(wheel: Path) -> None:
    metadata = read_metadata(wheel)
    assert metadata["Version"] == __version__
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    environments = (ROOT / "tox.ini").read_text(encoding="utf-8")
    for classifier in metadata.get_all("Classifier", []):
        if found := re.fullmatch(r"Programming Language :: Python :: 3\.(\d+)", classifier):
            assert f"py3{found[1]}" in environments


def test_its_description_has_no_link_that_an_index_cannot_follow(wheel: Path) -> None:
    description = read_metadata(wheel).get_payload()
    assert isinstance(description, str)
    assert description.startswith("# resnet-bench\n")
    links = re.findall(r"\]\(([^()\s]+)\)", description)
    assert [link for link in links if not link.startswith("https://")] == []


def test_everything_that_is_imported_is_declared() -> None:
    distributions = packages_distributions()
    for extras, files in ((("all", "pytest", "ray"), all_files()), ((), files_without_extras())):
        known = declared(*extras)
        undeclared = {
            f"{path.relative_to(ROOT)}: {name}"
            for path in files
            for name in imported(path, everywhere=bool(extras))
            if name not in (*sys.stdlib_module_names, *PACKAGES, *OFFERED, "pytest_resnet_bench")
            and not known & {canonicalize_name(each) for each in distributions.get(name, (name,))}
        }
        assert undeclared == set()


def all_files() -> list[Path]:
    return [ROOT / name for name in sources() if name.endswith(".py")]


def files_without_extras() -> list[Path]:
    """The instrument but for what pytest, or a worker with a framework, imports."""
    extra = ("bench/benchmarks.py", "bench/pytest_plugin.py", "bench/doctor/planted/")
    feeds = ("tensorflow_feed.py", "torch_feed.py")
    every = (path.relative_to(ROOT).as_posix() for path in all_files())
    return [
        ROOT / name
        for name in every
        if name.startswith("bench/") and not name.startswith(extra) and not name.endswith(feeds)
    ]


def imported(path: Path, everywhere: bool) -> Iterator[str]:
    """Top-level packages that a file imports, when it is imported or `everywhere` in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "litert"])
def test_an_engine_needs_no_extra_but_its_own(engine: str) -> None:
    backend = CATALOGUE[f"{engine}_engine"].backends[0]
    assert set(backend.packages) == declared(engine) - declared()
    assert declared(engine) < declared("engines") < declared("all")


def test_the_wheel_measures_and_reports_in_any_folder(run: Run, tmp_path: Path) -> None:
    listed = run("resnet-bench", "list")
    assert listed.returncode == 0, listed.stderr
    assert "torch_module" in listed.stdout
    measured = run("resnet-bench", "run", *FAKE.split(), "--out", "out")
    assert measured.returncode == 0, measured.stdout + measured.stderr
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"report.html", "report.md", "results.csv", "run.json"} <= written
    (tmp_path / "out" / "report.md").unlink()
    reported = run("resnet-bench", "report", "out")
    assert reported.returncode == 0, reported.stderr
    assert "fake" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_pytest_finds_the_benchmarks_by_their_name(run: Run) -> None:
    finished = run(
        *("python", "-m", "pytest", "-Werror", "-p", "no:cacheprovider", "--benchmark-only"),
        *("--resnet-bench", FAKE, "--pyargs", "bench.benchmarks"),
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "1 passed" in finished.stdout


@pytest.mark.parametrize("plugin", [(), ("-p", "bench.pytest_plugin")])
def test_pytest_loads_the_plugin_once(plugin: tuple[str, ...], run: Run) -> None:
    options = ("--trace-config", "-p", "no:cacheprovider", *plugin)
    finished = run("python", "-m", "pytest", "-Werror", *options, "--collect-only")
    assert finished.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, finished.stderr
    active = re.findall(r"^ +(\S+) +: .*pytest_resnet_bench", finished.stdout, re.MULTILINE)
    assert active == ["bench.pytest_plugin"]


# Has by chance what our own benchmarks have: a module `bench` and a fixture `measured`
UNRELATED = """
import sys
import bench
import pytest

@pytest.fixture
def measured():
    return 5

def test_own(measured):
    assert (measured, bench.OWN) == (5, "mine")

@pytest.mark.parametrize("measured", [5, 6])
def test_parametrized(measured):
    assert measured > 4

def test_speed(benchmark):
    benchmark.pedantic(lambda: None, rounds=2)

def test_nothing_of_ours_was_imported(benchmark):
    benchmark.pedantic(lambda: None, rounds=2)
    assert ("pytest_resnet_bench" in sys.modules) == {loaded}
    assert not {{"resnet_impls", "msgspec", "numpy", "psutil"}} & set(sys.modules)
"""


@pytest.mark.parametrize(("options", "passed"), [((), 5), (("--benchmark-only",), 2)])
def test_a_project_of_its_own_is_not_disturbed(
    options: tuple[str, ...], passed: int, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "bench.py").write_text('OWN = "mine"\n', encoding="utf-8")
    outcomes = []
    for loaded, plugin in ((True, ()), (False, ("-p", "no:bench.pytest_plugin"))):
        text = UNRELATED.format(loaded=loaded)
        (tmp_path / "test_unrelated.py").write_text(text, encoding="utf-8")
        words = ("-Werror", "-p", "no:cacheprovider", "--strict-markers", *plugin, *options)
        finished = run("python", "-m", "pytest", *words)
        outcomes.append(re.findall(r"\d+ (?:passed|skipped|deselected|failed)", finished.stdout))
        assert finished.returncode == 0, finished.stdout + finished.stderr
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == f"{passed} passed"


def test_the_plugin_costs_nothing_at_pytests_start(run: Run) -> None:
    program = """
import sys
import pytest
before = set(sys.modules)
import pytest_resnet_bench
print(*sorted(set(sys.modules) - before))
"""
    finished = run("python", "-c", program)
    assert finished.stdout.split() == ["pytest_resnet_bench"], finished.stderr
