"""A run's folder that others use, damage or fill: locks, links, vanished records, a full disk."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli import main as cli
from bench.errors import UsageError
from bench.files import TEMPORARY
from bench.records.folder import RunFolder
from builders import record, run


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "results" / "first", run())


def test_who_measures_into_a_folder_keeps_others_out(folder: RunFolder) -> None:
    assert not folder.goes_on
    with folder.held() as held:
        assert folder.goes_on
        with (
            pytest.raises(UsageError, match="another process measures into it"),
            RunFolder.open(folder.path).held(),
        ):
            pass
        held.note(peaks={})
    assert not folder.goes_on
    assert not folder.lock.exists()
    with folder.held() as held:
        assert held.run.peaks == {}


def test_a_lock_that_a_killed_run_left_keeps_nobody_out(folder: RunFolder) -> None:
    folder.lock.touch()
    (folder.path / f"{TEMPORARY}{2**22 + 1}-0a").touch()  # no process has so high a number
    (folder.path / f"{TEMPORARY}{os.getppid()}-0a").touch()
    with folder.held():
        assert len([*folder.path.glob(f"{TEMPORARY}*")]) == 1


def test_a_report_of_a_run_that_goes_on_says_so(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with folder.held() as held:
        held.append(record())
        assert cli.main(["report", str(folder.path)]) == 0
        assert "the run goes on; this is its state by now" in capsys.readouterr().err
        held.append(record(replicate=1))
    assert cli.main(["report", str(folder.path)]) == 0
    assert "goes on" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["logs", "records.jsonl", "logs/worker.log", "weights"])
def test_a_part_of_the_folder_that_leads_elsewhere_is_refused(
    name: str, folder: RunFolder, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "empty").touch()
    path = folder.path / name
    if path.is_dir():
        path.rmdir()
    path.symlink_to(precious)
    with pytest.raises(UsageError, match="is a link, and would be written to"), folder.held():
        pass
    assert (precious / "empty").exists()


def rm(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("change", [rm, cut, empty])
def test_records_that_vanish_while_a_run_goes_on_are_missed(
    change: Callable[[Path], None], folder: RunFolder
) -> None:
    folder.append(record(replicate=0))
    folder.append(record(replicate=1))
    change(folder.path / "records.jsonl")
    with pytest.raises(UsageError, match=r"removed or changed by another program.*--resume"):
        folder.records()
    with pytest.raises(UsageError, match=r"removed or changed by another program.*--resume"):
        folder.append(record(replicate=2))


def test_on_a_full_disk_the_records_before_are_kept_and_nothing_of_the_next(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.append(record(replicate=0))
    before = {path: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        for attempt in (
            lambda: folder.append(record(replicate=1)),
            lambda: folder.note(peaks={}),
        ):
            with pytest.raises(UsageError) as caught:
                attempt()
            line = str(caught.value)
            assert "No space left on device" in line
            assert "records so far are kept" in line
            assert line.endswith(f"resnet-bench run --resume {folder.path}")
    assert {path: path.read_bytes() for path in folder.path.iterdir() if path.is_file()} == before
    folder.append(record(replicate=1))
    assert [row.replicate for row in folder.records()] == [0, 1]


@pytest.mark.parametrize("name", ["run.json", "records.jsonl"])
def test_a_pipe_or_an_endless_device_is_refused_and_not_waited_for(
    name: str, folder: RunFolder
) -> None:
    path = folder.path / name
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        path.unlink(missing_ok=True)
        make(path)
        assert cli.main(["report", str(folder.path)]) == 2
        with pytest.raises(UsageError, match="cannot be read"):
            RunFolder.open(folder.path).records()
