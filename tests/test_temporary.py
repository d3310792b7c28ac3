"""Temporary folders, and the guardian that removes what a killed process left."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from bench import temporary
from bench.temporary import TemporaryFolder, sweep

Eventually = Callable[[Callable[[], bool]], bool]

# Says where its folder is, starts what is suspended in a session of its own, and sleeps
PROGRAM = """
import os, subprocess, sys, time
from bench import guardian
from bench.temporary import TemporaryFolder
folder = TemporaryFolder()
(folder.path / "data").write_bytes(bytes(1000))
words = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"]
kept = subprocess.Popen(words, env={**os.environ, **guardian.marked()}, start_new_session=True)
print(folder.path, kept.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def ward(tmp_path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_a_process_that_is_ended(
    number: signal.Signals, ward: subprocess.Popen[str], tmp_path: Path, eventually: Eventually
) -> None:
    with ward:
        assert ward.stdout
        _, pid = ward.stdout.readline().split()
        suspended = psutil.Process(int(pid))
        assert eventually(lambda: suspended.status() == psutil.STATUS_STOPPED)
        os.killpg(ward.pid, number)  # and the guardian is not in the group
    assert eventually(lambda: ended(suspended))
    assert eventually(lambda: not list(tmp_path.iterdir()))


def ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE  # of an init that is slow to wait for it
    except psutil.NoSuchProcess:
        return True


def test_a_folder_vanishes_with_all_in_it(tmp_path: Path) -> None:
    with TemporaryFolder(tmp_path) as folder:
        shut = folder.path / "shut"
        shut.mkdir()
        (shut / "file").touch()
        shut.chmod(0)
    assert not list(tmp_path.iterdir())
    folder.remove()


def test_leftovers_of_the_dead_are_swept_and_what_lives_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "resnet-bench.12345678").mkdir()
    (tmp_path / "resnet-bench.12345678" / "data").touch()
    (tmp_path / "resnet-bench.link").symlink_to(tmp_path / "mine")
    (tmp_path / "mine").mkdir()
    with TemporaryFolder(tmp_path / "mine") as living:
        monkeypatch.setattr(temporary, "_swept", set())
        sweep(tmp_path)
        sweep(tmp_path / "mine")
        assert living.path.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "resnet-bench.link"}


def test_a_place_whose_sockets_would_have_no_name_is_left_for_a_shorter_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    assert temporary.for_sockets() == Path("/tmp")
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    place = temporary.for_sockets()
    assert str(place) in temporary.SHORT
    with temporary.TemporaryFolder(place) as folder, socket.socket(socket.AF_UNIX) as listener:
        below = folder.path / "pymp-xxxxxxxx"
        below.mkdir()
        listener.bind(str(below / "listener-xxxxxxxx"))
