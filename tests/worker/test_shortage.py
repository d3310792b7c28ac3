"""A worker that runs out of memory says of which, and what to do about it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.parent.child import Child, Failure
from bench.records.reading import read
from bench.worker.protocol import Build

ROOT = Path(__file__).parents[2]
StartChild = Callable[..., tuple[Child, Build]]

# As PyTorch 2.14 says it
LOADER = """\
def place(self, images, labels):
    raise RuntimeError(
        "Caught RuntimeError in DataLoader worker process 0.\\nOriginal Traceback:"
        "\\n  File ...\\nRuntimeError: unable to allocate shared memory(shm) for file "
        "</torch_37_3757_0>: No space left on device (28)\\n"
    )
"""


def test_the_cause_of_a_loader_without_shared_memory_is_told_with_a_remedy(
    faulty: Callable[[str, str], Path], start_child: StartChild
) -> None:
    child, build = start_child(faulty("loads", LOADER))
    with pytest.raises(Failure) as caught:
        child.ask(build, 60)
    assert caught.value.status == "oom"
    assert "unable to allocate shared memory(shm) for file" in caught.value.reason
    if sys.platform == "linux":
        assert "; /dev/shm has " in caught.value.reason
        assert "--shm-size" in caught.value.reason


def test_an_engine_that_ends_without_memory_leaves_that_in_its_log(
    faulty: Callable[[str, str], Path], start_child: StartChild
) -> None:
    body = """
    def place(self, images, labels):
        print("terminate called after throwing an instance of 'std::bad_alloc'", flush=True)
        os.abort()
    """
    child, build = start_child(faulty("aborts", body))
    with pytest.raises(Failure) as caught:
        child.ask(build, 60)
    assert caught.value.status == "oom"
    assert caught.value.reason.startswith("killed by SIGABRT during its build; ")
    assert "take a smaller --batch-size" in caught.value.reason


@pytest.mark.long
def test_a_real_loader_in_a_small_folder_gets_the_hint(tmp_path: Path) -> None:
    words = "run --impl torch_module --workload train+input --input torch --batch-size 128"
    words += " --steps 8 --replicates 1 --no-certify --optimizer sgd --out run"
    mounted = "mount -t tmpfs -o size=1m tmpfs /dev/shm"
    permitted = subprocess.run(["unshare", "-m", "sh", "-c", mounted], capture_output=True)
    if permitted.returncode:
        pytest.skip(f"no file system can be mounted here: {permitted.stderr.decode()}")
    program = f"{mounted} && cd {tmp_path} && {sys.executable} -m bench {words}"
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    subprocess.run(["unshare", "-m", "sh", "-c", program], env=environment, capture_output=True)
    [row] = read(tmp_path / "run")
    assert row.status == "oom"
    assert "/dev/shm has " in (row.reason or "")
