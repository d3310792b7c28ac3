"""What this process may use of its machine: by control groups, limits and affinity."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.cells import Cell
from bench.machine import control_groups, cpus, memory

ROOT = Path(__file__).parents[2]
MakeFaulty = Callable[[str, str], Path]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Have this process be in the groups that its lines in /proc/self say."""

    def make(groups: str, mounts: str) -> Path:
        process = tmp_path / "proc" / "self"
        process.mkdir(parents=True)
        (process / "cgroup").write_text(groups)
        (process / "mountinfo").write_text(mounts.replace("/sys/fs/cgroup", str(tmp_path)))
        monkeypatch.setattr(control_groups, "PROCESS", process)
        return tmp_path

    return make


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


SECOND = "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
FIRST = (
    "34 25 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "35 25 0:32 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
)


def test_the_tightest_of_all_ancestors_counts_in_version_2(
    tree: Callable[[str, str], Path],
) -> None:
    top = tree("0::/user.slice/run.scope\n", SECOND)
    own, parent = top / "user.slice/run.scope", top / "user.slice"
    write(own, memory__max="max", memory__current=300 * 2**20, cpu__max="max 100000")
    write(parent, memory__max=1000 * 2**20, memory__high="max", memory__current=700 * 2**20)
    write(parent, memory__stat="anon 5\ninactive_file 104857600", cpu__max="250000 100000")
    write(own, memory__events="low 0\noom 2\noom_kill 2")
    assert control_groups.memory() == control_groups.GroupMemory(1000, 400)
    assert control_groups.cpus() == 2.5
    assert control_groups.oom_kills() == 2
    write(own, memory__high=100 * 2**20)
    assert control_groups.memory() == control_groups.GroupMemory(100, 0)


def test_each_controller_of_version_1_has_its_tree(tree: Callable[[str, str], Path]) -> None:
    top = tree("4:memory:/docker/a\n3:cpu,cpuacct:/docker/a\n0::/\n", FIRST)
    write(top / "memory/docker/a", memory__limit_in_bytes=2**29, memory__usage_in_bytes=2**28)
    write(top / "memory/docker/a", memory__oom_control="oom_kill_disable 0\noom_kill 1")
    write(top / "memory", memory__limit_in_bytes=9223372036854771712, memory__usage_in_bytes=1)
    write(top / "cpu,cpuacct/docker/a", cpu__cfs_quota_us=50000, cpu__cfs_period_us=100000)
    write(top / "cpu,cpuacct", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100000)
    assert control_groups.memory() == control_groups.GroupMemory(512, 256)
    assert control_groups.cpus() == 0.5
    assert control_groups.oom_kills() == 1


def test_a_container_may_see_its_group_as_the_root(tree: Callable[[str, str], Path]) -> None:
    mounts = FIRST.replace("0:31 /", "0:31 /docker/a")
    top = tree("4:memory:/docker/a\n", mounts)
    write(top / "memory", memory__limit_in_bytes=2**29, memory__usage_in_bytes=0)
    assert control_groups.memory() == control_groups.GroupMemory(512, 512)


def test_where_no_group_tells_nothing_is_bounded(tree: Callable[[str, str], Path]) -> None:
    tree("0::/\n", "")
    assert control_groups.memory() is control_groups.cpus() is control_groups.oom_kills() is None


def joins(group: Path) -> Callable[[], None]:
    """What has a process join a group before it runs."""

    def join() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    return join


def facts(before: Callable[[], None]) -> dict[str, object]:
    """What `resnet-bench machine` says in a process that has done `before`."""
    found = subprocess.run(
        [sys.executable, "-m", "bench", "machine"],
        cwd=ROOT,
        preexec_fn=before,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(found.stdout))


def removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


@pytest.fixture
def group(eventually: Callable[[Callable[[], bool]], bool]) -> Iterator[Path]:
    """A control group of 400 MiB below this process's own."""
    own = next(control_groups.groups("memory"), None)
    if own is None:
        pytest.skip("this system has no control groups for memory")
    folder = own / f"resnet-bench-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        for name in ("memory.max", "memory.limit_in_bytes"):
            if (folder / name).exists():
                (folder / name).write_text(str(400 * 2**20))
                break
        else:
            pytest.skip(f"the control groups below {own} have no memory controller")
        yield folder
    finally:
        assert eventually(lambda: removed(folder))  # when the last process has left it


def test_a_real_group_bounds_what_is_usable(group: Path) -> None:
    found = facts(joins(group))
    assert found["memory_bound"] == "control group"
    assert found["usable_memory_gib"] == 0.39


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows affinity")
def test_limits_and_affinity_bound_it_too() -> None:
    def before() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
        os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])

    found = facts(before)
    assert (found["memory_bound"], found["usable_memory_gib"]) == ("limit", 3.0)
    assert found["usable_cpus"] == 1
    assert found["cpu_bound"] == ("affinity" if (os.cpu_count() or 1) > 1 else "host")


def test_a_quota_bounds_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for quota, usable in ((0.5, 1), (1.9, 1), (1000.0, None)):
        monkeypatch.setattr(control_groups, "cpus", lambda quota=quota: quota)
        cpus.quota.cache_clear()
        assert len(cpus.allowed()) == (usable or len(os.sched_getaffinity(0)))
        if len(os.sched_getaffinity(0)) > 1:
            assert cpus.bound() == ("control group" if usable else "host")
    monkeypatch.undo()
    cpus.quota.cache_clear()


EATS = """
def train(self, steps):
    self.held = np.ones(600 * 2**20 // 8)
    return super().train(steps)
"""


MEASURES = """
import json, sys
from pathlib import Path
from bench.cells import Cell
from bench.run.measure import measure
from builders import run
tasks = [(Cell(**each), 0) for each in json.loads(sys.argv[1])]
folders = {cell: Path(sys.argv[2]) for cell, _ in tasks}
rows = measure(run(), tasks, folders, {}, logs=Path(sys.argv[3]), timeout_s=120)
print(json.dumps({row.backend: [row.status, row.reason] for row in rows}))
"""


def test_a_worker_that_the_kernel_kills_for_memory_is_oom_and_its_rival_goes_on(
    group: Path, make_cell: Callable[..., Cell], faulty: MakeFaulty, digits: Path, tmp_path: Path
) -> None:
    cells = [make_cell(), make_cell(faulty("eats", EATS))]
    words = (json.dumps([cell.as_dict() for cell in cells]), digits, tmp_path)
    finished = subprocess.run(
        [sys.executable, "-c", MEASURES, *map(str, words)],
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        preexec_fn=joins(group),
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    rows = json.loads(finished.stdout)
    assert rows["fake_implementation"] == ["ok", None]
    status, reason = rows["eats"]
    assert status == "oom"
    assert reason.startswith("killed by SIGKILL")
    assert "its control group allows 400 MiB: take a smaller --batch-size" in reason


IMPORTS = """
import json, resource, sys
from pathlib import Path
from bench.cells import Cell
from bench.parent.child import Child, Failure
from bench.worker.environment import Environment
from bench.worker.protocol import Build
resource.setrlimit(resource.RLIMIT_AS, (1500 * 2**20,) * 2)
cell = Cell(**json.loads(sys.argv[1]))
child = Child(Environment.of(cell), Path(sys.argv[3]))
try:
    child.ask(Build(cell=cell, data_folder=sys.argv[2]), 120)
except Failure as failure:
    print(failure.status, failure.reason)
finally:
    child.end()
"""


def test_a_framework_that_a_limit_keeps_from_being_imported_is_not_called_absent(
    make_cell: Callable[..., Cell], digits: Path, tmp_path: Path
) -> None:
    cell = make_cell(implementation="torch_module", backend="torch")
    words = (json.dumps(cell.as_dict()), digits, tmp_path / "log")
    found = subprocess.run(
        [sys.executable, "-c", IMPORTS, *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert found.stdout.startswith("oom "), found
    assert "ulimit lets each process map 1,500 MiB" in found.stdout


def test_what_processes_share_is_told_where_there_is_such_a_folder() -> None:
    shared = memory.shared_mib()
    assert (shared is not None) == Path(memory.SHARED).is_dir()
