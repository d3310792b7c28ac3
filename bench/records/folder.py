"""`results/<run_id>/`: what a run leaves on disk, safe against being killed at any moment.

`run.json` says what was asked for and is written first; `records.jsonl` grows by one flushed line
per record and is the source of truth; every other file is derived from the two and can be made
again.
"""

import json
import os
import shlex
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from errno import EINVAL
from pathlib import Path
from time import monotonic
from typing import Any

from bench import files, locks
from bench.errors import UsageError, check_text
from bench.files import write
from bench.records import reading
from bench.records.record import Record
from bench.records.run import Run
from bench.validation import parse, plain

LARGEST = 64 * 2**20  # bytes of a run.json; one of 1,000 cells has some 100 KiB


class RunFolder:
    """One run's folder, and the description of the run that `run.json` holds."""

    def __init__(self, path: Path, run: Run) -> None:
        self.path = path
        self.run = run
        self.logs = path / "logs"
        self.lock = path / ".lock"
        self.written: int | None = None  # bytes of the records after the last that was appended

    @classmethod
    def create(cls, path: Path, run: Run) -> "RunFolder":
        """Make the folder of a new run. Raises UsageError where that cannot be done."""
        check_free(path)
        try:
            text = _json(run)
            (path / "logs").mkdir(parents=True)
            write(path / "run.json", text)
            if run.packages:
                write(path / "constraints.txt", run.constraints)
        except FileExistsError:
            raise UsageError(f"--out {path}: another run has begun there; choose another") from None
        except OSError as error:
            raise UsageError(f"--out {path}: cannot be written ({error.strerror})") from None
        except ValueError as error:
            raise UsageError(f"--out {path}: its run.json could not be read ({error})") from None
        return cls(path, run)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """The folder of an earlier run. Raises UsageError where `path` holds none."""
        file = path / "run.json"
        try:
            run = parse(files.read(file, LARGEST), Run)
        except (FileNotFoundError, NotADirectoryError):
            raise UsageError(f"{path}: holds no run (there is no run.json in it)") from None
        except OSError as error:
            raise UsageError(f"{file}: cannot be read ({error.strerror})") from None
        except ValueError as error:
            raise UsageError(f"{file}: {error}") from None
        return cls(path, run)

    @contextmanager
    def held(self) -> Iterator["RunFolder"]:
        """Keep other processes from measuring into the folder; yields it as it is by then.

        Raises UsageError where one does, or where a part of the folder leads elsewhere.
        """
        with ExitStack() as ending:
            try:
                ending.enter_context(locks.locked(self.lock, wait=False))
            except BlockingIOError:
                who = locks.holder(self.lock)
                raise UsageError(
                    f"{self.path}: another process measures into it ({who}); wait until it has "
                    "ended"
                ) from None
            except OSError as error:
                raise self._unwritable(error) from None
            self._check_links()
            files.remove_temporary(self.path)
            yield RunFolder.open(self.path)

    @property
    def goes_on(self) -> bool:
        """Whether a process measures into the folder."""
        return locks.is_locked(self.lock)

    def _check_links(self) -> None:
        """Raises UsageError for a link among what a run writes to: it may lead anywhere."""
        own = [self.path / name for name in ("run.json", "records.jsonl", "logs", "weights")]
        for folder in own[2:]:
            if folder.is_dir() and not folder.is_symlink():
                own += folder.iterdir()
        for path in own:
            if path.is_symlink():
                raise UsageError(f"{path}: is a link, and would be written to; remove it")

    def note(self, **facts: Any) -> None:
        """Add to the description of the run, by names of its fields, here and on disk."""
        self.run = replace(self.run, **facts)
        try:
            write(self.path / "run.json", _json(self.run))
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> UsageError:
        return UsageError(
            f"{self.path}: cannot be written ({error.strerror}); the records so far are kept: "
            f"when that is mended, go on by: {self._resume}"
        )

    @contextmanager
    def spending(self, part: str) -> Iterator[Callable[[], None]]:
        """Add the wall seconds within to a part of the run, in `run.json`.

        A long part calls what is yielded now and then, so that a kill loses little of it.
        """
        began_s = monotonic()

        def note() -> None:
            nonlocal began_s
            now_s = monotonic()
            so_far_s = self.run.spent_s.get(part, 0.0)
            self.note(spent_s={**self.run.spent_s, part: so_far_s + now_s - began_s})
            began_s = now_s

        try:
            yield note
        finally:
            note()

    def records(self) -> list[Record]:
        """What has been measured so far; a line cut off by a kill is left out."""
        path = self.path / "records.jsonl"
        if self.written and (not path.exists() or path.stat().st_size < self.written):
            raise self._changed()
        return reading.read(path) if path.exists() else []

    def drop_cut_off_line(self) -> None:
        """Remove a last line that a killed run left unfinished, so that more can be appended."""
        path = self.path / "records.jsonl"
        if path.exists():
            with path.open("rb+") as file:
                before = max(0, os.fstat(file.fileno()).st_size - reading.LONGEST)
                file.seek(before)
                file.truncate(before + file.read().rfind(b"\n") + 1)
        self.written = None

    def append(self, record: Record) -> None:
        """Add one record; it is on disk when this returns.

        Raises UsageError where that is impossible, and then nothing of it is there; or where
        records that were appended before are gone.
        """
        line = record.to_json().encode() + b"\n"
        try:
            how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(self.path / "records.jsonl", how, 0o666)
            try:
                size = os.fstat(descriptor).st_size
                if self.written not in (None, size):
                    raise self._changed()
                _append(descriptor, line, size)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._unwritable(error) from None
        if not size:
            files.sync(self.path)
        self.written = size + len(line)

    def _changed(self) -> UsageError:
        return UsageError(
            f"{self.path / 'records.jsonl'}: was removed or changed by another program while the "
            f"run went on; put it back, or measure what is missing by: {self._resume}"
        )

    @property
    def _resume(self) -> str:
        return f"resnet-bench run --resume {shlex.quote(str(self.path))}"

    def drop_empty_logs(self) -> None:
        """Remove the logs of workers that said nothing."""
        if self.logs.is_dir():
            for log in self.logs.iterdir():
                if log.stat().st_size == 0:
                    log.unlink()
            if not any(self.logs.iterdir()):
                self.logs.rmdir()


def _append(descriptor: int, line: bytes, size: int) -> None:
    """Write a line behind `size` bytes, all of it or nothing."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(EINVAL, "records.jsonl is no regular file")
    left = memoryview(line)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _json(run: Run) -> str:
    text = json.dumps(plain(run), indent=2) + "\n"
    parse(text, Run)  # what would be refused is not written
    return text


def check_free(path: Path) -> None:
    """Raises UsageError where `path` is taken, by a run or by anything else, or cannot be had."""
    try:
        _check_free(path)
    except OSError as error:  # such as a name that is too long
        raise UsageError(f"--out {path}: cannot be written ({error.strerror})") from None


def _check_free(path: Path) -> None:
    check_text(path.resolve().name)  # the name of the run
    if (path / "run.json").exists():
        raise UsageError(
            f"--out {path}: already holds a run; choose another folder, or go on with it by "
            f"--resume {path}"
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"--out {path}: is not an empty folder; choose another")
    parent = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise UsageError(f"--out {path}: cannot be written ({parent} is no writable folder)")
