"""The cache is never trusted: an entry that is not whole, ours and of the past is absent."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench import cache, locks
from bench.errors import UsageError

NAME = "peaks/0.json"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_what_is_kept_is_read_back_and_kept_anew() -> None:
    assert cache.read(NAME) is None
    for content in ("{}", "", '{"a": 1}\n', "line\nline\n"):
        cache.keep(NAME, content)
        assert cache.read(NAME) == content.encode()
    cache.keep(NAME, '{"a": 1}')
    assert cache.read_as(NAME, dict[str, int]) == {"a": 1}
    assert cache.read_as(NAME, dict[str, str]) is None


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def under_another_name(path: Path) -> None:
    path.rename(path.with_name("1.json"))
    cache.keep(NAME, "other")
    path.with_name("1.json").replace(path.with_name("2.json"))
    path.with_name("2.json").replace(path.with_name("3.json"))
    path.unlink()
    other = cache.keep("peaks/4.json", "of another place")
    other.rename(path)


def a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def tomorrow(path: Path) -> None:
    os.utime(path, (time.time() + 86_400,) * 2)


DAMAGE: list[Callable[[Path], object]] = [
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[:-1]),
    lambda path: path.write_bytes(path.read_bytes()[:30]),
    lambda path: path.write_bytes(path.read_bytes() + b" "),
    lambda path: path.write_text('{"of": "an older version"}'),
    lambda path: path.write_bytes(b"\n" * 5000),
    flip,
    under_another_name,
    a_link,
    a_pipe,
    a_folder,
    tomorrow,
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_cannot_be_trusted_is_absent_and_made_anew(damage: Callable[[Path], object]) -> None:
    path = cache.keep(NAME, '{"gflop_per_s": 200}')
    damage(path)
    assert cache.read(NAME) is None
    assert cache.find(NAME) is None
    if path.is_dir():
        path.rmdir()  # nothing of ours has made it
    cache.keep(NAME, "new")
    assert cache.read(NAME) == b"new"


def test_an_entry_of_another_user_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.keep(NAME, "theirs")
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert (cache.read(NAME) is None) == (owner != 0)  # root is trusted


def test_an_entry_that_is_huge_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.keep(NAME, "x" * 100)
    monkeypatch.setattr(cache, "LARGEST", 50)
    assert cache.read(NAME) is None


def test_arrays_are_entries_too_and_are_read_where_they_lie(tmp_path: Path) -> None:
    arrays = {"a": np.arange(1000.0), "b/c": np.ones((2, 3), np.float32)}
    np.savez(tmp_path / "fresh.npz", **arrays)  # type: ignore[arg-type]
    path = cache.adopt("problems/x.npz", tmp_path / "fresh.npz")
    assert cache.find("problems/x.npz") == path
    file = cache.open_entry(path)
    assert file is not None
    with file, np.load(file, allow_pickle=False) as read:
        for name, value in arrays.items():
            np.testing.assert_array_equal(read[name], value)


def test_who_has_no_home_has_a_cache_among_temporary_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as without a password entry
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache.folder() == tmp_path / f"resnet-bench-cache-{os.getuid()}"
    cache.keep(NAME, "kept")
    assert cache.read(NAME) == b"kept"


def test_a_relative_name_of_the_cache_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "below/the/working/folder")
    assert cache.folder() == Path.home() / ".cache" / "resnet-bench"


def test_a_write_that_fails_leaves_what_was_there_and_no_temporary_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = cache.keep(NAME, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match=r"0\.json: the cache cannot be written \(No space left"):
        cache.keep(NAME, "new")
    assert cache.read(NAME) == b"old"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_two_runs_with_one_cache_lose_nothing_of_each_other(tmp_path: Path) -> None:
    program = """
import json, sys
from bench import cache
for number in range(40):
    with cache.updating("times.json"):
        known = cache.read_as("times.json", dict[str, int]) or {}
        cache.keep("times.json", json.dumps({**known, f"{sys.argv[1]}-{number}": number}))
    assert cache.read("times.json") is not None
"""
    started = [subprocess.Popen([sys.executable, "-c", program, name]) for name in "ab"]
    assert [process.wait(60) for process in started] == [0, 0]
    assert len(cache.read_as("times.json", dict[str, int]) or {}) == 80
    assert [file.name for file in cache.folder().iterdir()] == ["times.json"]


def test_a_lock_ends_with_its_process_and_is_refused_meanwhile(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    program = f"""
import os, sys
from pathlib import Path
from bench.locks import locked
with locked(Path({str(lock)!r}), wait=False):
    print("taken", flush=True)
    sys.stdin.read()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as holder:  # type: ignore[call-overload]
        assert holder.stdout.readline() == b"taken\n"
        assert locks.is_locked(lock)
        with pytest.raises(BlockingIOError), locks.locked(lock, wait=False):
            pass
        holder.kill()
    assert lock.exists()
    assert not locks.is_locked(lock)
    with locks.locked(lock, wait=False):
        assert locks.is_locked(lock)
    assert not lock.exists()
