"""One measurement at a time: who comes second is told who measures, or waits; no file locks out."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import locks
from bench.cli import main as cli
from bench.errors import UsageError
from bench.machine import exclusive
from bench.machine.exclusive import NAME, VARIABLE, alone

HOLD = """
import os, sys
from pathlib import Path
from bench.machine import exclusive
for user in map(int, sys.argv[2:]):
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
exclusive.PLACES = (Path(sys.argv[1]),)
with exclusive.alone(wait=False, say=print) as whole:
    print("taken", whole, flush=True)
    sys.stdin.read()
"""
Eventually = Callable[[Callable[[], bool]], bool]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place of a machine's lock, and no other is named."""
    folder = tmp_path / "shared"
    folder.mkdir()
    monkeypatch.setattr(exclusive, "PLACES", (folder,))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(VARIABLE)
    return folder


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock that a variable names, for this process and those that it starts."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "own.lock"))
    return tmp_path / "own.lock"


@pytest.fixture
def said() -> list[str]:
    return []


def holding(folder: Path, *user: int) -> subprocess.Popen[str]:
    """A process that holds the lock of a folder, of another user where one is given."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *map(str, user)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout
    assert process.stdout.readline() == "taken True\n"
    return process


MEASURE = ("--no-certify", "--optimizer", "sgd", "--steps", "4", "--replicates", "1")


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--impl", "FAKE", *MEASURE, "--out", "OUT"),
        ("certify", "--impl", "FAKE"),
        ("certify", "--impl", "FAKE", "--json"),
        ("doctor",),
        ("doctor", "--aa", "--impl", "FAKE"),
        ("machine", "--peaks"),
        ("describe", "resnet14", "--impl", "FAKE"),
        ("describe", "resnet14", "--impl", "FAKE", "--json"),
    ],
)
def test_a_second_measurement_is_refused_and_told_who_measures(
    words: tuple[str, ...],
    own: Path,
    fake: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    said: list[str],
) -> None:
    places = {"FAKE": str(fake), "OUT": str(tmp_path / "out")}
    with alone(wait=False, say=said.append):
        assert cli.main([places.get(word, word) for word in words]) == 2
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    assert line.startswith("resnet-bench: another measurement goes on")
    assert f"pid {os.getpid()} of " in line
    assert line.endswith("wait until it has ended, or add --wait")
    assert output.out == ""
    assert not (tmp_path / "out").exists()
    assert said == []


@pytest.mark.parametrize("words", [("list",), ("machine",), ("describe", "resnet14")])
def test_what_measures_nothing_needs_no_lock(
    words: tuple[str, ...], own: Path, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with alone(wait=False, say=said.append):
        assert cli.main(list(words)) == 0
    assert capsys.readouterr().err == ""


def test_a_mistake_is_told_before_anybody_waits(
    own: Path, fake: Path, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with alone(wait=False, say=said.append):
        assert cli.main(["run", "--impl", str(fake), "--model", "resnet15", "--wait"]) == 2
    assert "resnet15" in capsys.readouterr().err


def test_who_waits_says_so_once_and_goes_on_when_the_other_has_ended(
    own: Path, fake: Path, said: list[str]
) -> None:
    words = ("describe", "resnet14", "--impl", str(fake), "--wait")
    with alone(wait=False, say=said.append):
        waiting = subprocess.Popen(
            [sys.executable, "-m", "bench", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert waiting.stderr is not None
        first = waiting.stderr.readline()
        assert first.startswith("waiting for another measurement to end: pid")
        assert f"pid {os.getpid()} of " in first
        assert waiting.poll() is None
    shown, errors = waiting.communicate(timeout=120)
    assert errors == ""
    assert "head" in shown
    assert not own.exists()


def test_a_killed_holder_keeps_nobody_out_and_leaves_no_name(place: Path, said: list[str]) -> None:
    with holding(place) as holder:
        with pytest.raises(UsageError, match=f"pid {holder.pid} of .*: python {place}"):
            alone(wait=False, say=said.append).__enter__()
        holder.kill()
        holder.wait()
    assert f"pid {holder.pid}" in (place / NAME).read_text("utf-8")
    with alone(wait=False, say=said.append) as whole:
        assert whole
        assert f"pid {os.getpid()} " in locks.holder(place / NAME)
    assert said == []
    assert list(place.iterdir()) == []


@pytest.fixture
def narrow() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_the_file_is_open_to_all_users_whatever_the_umask(
    place: Path, said: list[str], narrow: None
) -> None:
    with alone(wait=False, say=said.append):
        assert stat.S_IMODE((place / NAME).stat().st_mode) == 0o666


def block(path: Path, how: str) -> None:
    if how == "folder":
        path.mkdir()
    elif how == "link":
        path.with_name("target").touch()
        path.symlink_to("target")
    elif how == "second name":
        path.with_name("target").write_text("mine", encoding="utf-8")
        path.hardlink_to(path.with_name("target"))
    elif how == "pipe":
        os.mkfifo(path)
    else:
        path.parent.rmdir()


@pytest.mark.parametrize("how", ["folder", "link", "second name", "pipe", "no place"])
def test_a_place_that_cannot_be_locked_is_named_and_another_taken(
    how: str, place: Path, tmp_path: Path, said: list[str]
) -> None:
    block(place / NAME, how)
    with alone(wait=False, say=said.append) as whole:
        assert not whole
    (line,) = said
    assert line.startswith(f"{place / NAME} cannot be locked (")
    assert "nothing is locked, and measurements of other users may go on" in line
    (tmp_path / "cache" / "resnet-bench").mkdir(parents=True)
    with alone(wait=False, say=said.append) as whole:
        assert not whole
        with pytest.raises(UsageError, match="another measurement goes on"):
            alone(wait=False, say=said.append).__enter__()
    assert f"{tmp_path / 'cache' / 'resnet-bench' / NAME} is locked instead" in said[1]
    if how == "second name":
        assert (place / "target").read_text("utf-8") == "mine"


def test_a_file_that_says_nothing_or_nonsense_still_locks(place: Path, said: list[str]) -> None:
    with alone(wait=False, say=said.append):
        for content in (b"", b"\xff\x00\x1b[2J\n" * 3, b"x" * 100_000):
            (place / NAME).write_bytes(content)
            with pytest.raises(UsageError, match="another measurement goes on") as refused:
                alone(wait=False, say=said.append).__enter__()
            assert str(refused.value).isprintable()
            assert len(str(refused.value)) < 500


@pytest.mark.parametrize("named", ["relative.lock", "/nowhere/at/all.lock"])
def test_a_lock_that_is_named_must_be_there_to_lock(
    named: str, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setenv(VARIABLE, named)
    with pytest.raises(UsageError, match=f"{VARIABLE}={named}: "):
        alone(wait=False, say=said.append).__enter__()


def test_processes_with_locks_of_their_own_do_not_meet(
    place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: list[str]
) -> None:
    with holding(place) as holder:
        monkeypatch.setenv(VARIABLE, str(tmp_path / "job-1.lock"))
        with alone(wait=False, say=said.append) as whole:
            assert not whole
        holder.communicate()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two other users")
def test_users_of_one_machine_share_one_lock(said: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        shared = Path(folder)
        shared.chmod(0o1777)
        for user in (12345, 12346):  # the second finds the file of the first, and has to take it
            with holding(shared, user) as holder:
                assert f"pid {holder.pid} of user {user} " in locks.holder(shared / NAME)
                if user == 12345:
                    holder.send_signal(signal.SIGKILL)
                    assert holder.wait() == -signal.SIGKILL
                    assert (shared / NAME).exists()
                    continue
                with pytest.raises(BlockingIOError):
                    locks.take(shared / NAME, wait=False)
                holder.communicate()
        assert (shared / NAME).stat().st_uid == 12345  # only its owner can remove it
        assert (shared / NAME).read_bytes() == b""
