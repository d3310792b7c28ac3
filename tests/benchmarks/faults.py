"""Whether anything is lost, doubled or left behind when a run is killed, interrupted or misused.

`python tests/benchmarks/faults.py kills [N] [IMPL …]` ends a run N times (200) at random moments:
the parent, a worker, or all of them by SIGKILL, suspended or not, or the parent by Ctrl-C, SIGTERM
or SIGHUP, once or twice. Each time it resumes the run, until that is whole. Then the rows must be
those of a run that nobody disturbed: each once, of the same seeds, weights, batches and losses.
After each end no process, no temporary file and nothing unfinished in the cache may be left.

`python tests/benchmarks/faults.py kinds` measures implementations that misbehave, each in a way of
its own, beside a good one. Each must become a row with the status and the reason expected of it.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from bench.records import Record
from bench.records.reading import read

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE.parents[1])]

FAKE = HERE.parents[1] / "fake_implementation.py"
SIGN = "RESNET_BENCH_CAMPAIGN"  # a variable of all processes that a campaign starts
STEPS, REPLICATES = 60, 3
VANISH_S = 10.0
SOON = 0.6  # of the time of a whole run: what comes after is reached by runs that are resumed
SIGNALS = {
    "Ctrl-C": [signal.SIGINT],
    "Ctrl-C twice": [signal.SIGINT] * 2,
    "SIGTERM": [signal.SIGTERM],
    "SIGHUP": [signal.SIGHUP],
    "SIGTERM, then SIGKILL": [signal.SIGTERM, signal.SIGKILL],
    "SIGSTOP, then SIGKILL": [signal.SIGSTOP, signal.SIGKILL],
    "SIGKILL": [signal.SIGKILL],
}
ENDS = (*SIGNALS, "SIGKILL", "SIGKILL", "a worker", "a worker", "all at once")


class Campaign:
    """A folder for runs, their temporary files and their cache, and what was found to be wrong."""

    def __init__(
        self, folder: Path, impl: Sequence[str], seed: int, cache: Path | None = None
    ) -> None:
        self.folder, self.impl, self.draw = folder, impl, random.Random(seed)
        self.temporary, self.own_cache = folder / "tmp", folder / "cache"
        self.cache = cache or self.own_cache
        self.temporary.mkdir(parents=True)
        self.sign = f"{os.getpid()}-{seed}"
        self.wrong: list[str] = []
        self.ends: Counter[str] = Counter()

    def start(self, *words: str) -> subprocess.Popen[str]:
        """`resnet-bench` with these words, its output kept."""
        variables = {"TMPDIR": str(self.temporary), "XDG_CACHE_HOME": str(self.cache)}
        return subprocess.Popen(
            [sys.executable, "-m", "bench", *words],
            cwd=ROOT,
            env={**os.environ, **variables, SIGN: self.sign},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def words(self, out: Path) -> list[str]:
        """Those that begin the run of this campaign."""
        return [
            *("run", "--impl", *self.impl, "--workload", "train", "infer", "--optimizer", "sgd"),
            *("--mode", "eager", "--steps", str(STEPS), "--replicates", str(REPLICATES)),
            *("--device", "cpu", "--batch-size", "32", "64", "--out", str(out)),
            *(["--no-certify"] if any(name.endswith(".py") for name in self.impl) else []),
        ]

    def processes(self) -> list[psutil.Process]:
        """All that live of what was started, zombies left out."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(SIGN) == self.sign:
                    found.append(process)
        return found

    def check_nothing_left(self, after: str, whole: Path | None = None) -> None:
        """Note what is left behind some seconds after an end; of a run that is `whole`, files that
        are not as well, which the start after a kill removes.
        """
        until_s = time.monotonic() + VANISH_S
        while (left := self.left(whole)) and time.monotonic() < until_s:
            time.sleep(0.02)
        for each in left:
            self.note(f"left behind after {after}: {each}")
        for process in self.processes():
            process.kill()

    def left(self, whole: Path | None = None) -> list[str]:
        """Processes, temporary files and unfinished ones, in words."""
        alive = []
        for process in self.processes():
            with suppress(psutil.Error):
                alive.append(f"process {' '.join(process.cmdline())[-80:]}")
        unfinished = [
            path
            for folder in ((self.own_cache, whole) if whole else ())
            for path in folder.rglob("*")
            if path.is_file() and path.name.startswith(".")
        ]
        return [*alive, *map(str, self.temporary.iterdir()), *map(str, unfinished)]

    def note(self, what: str) -> None:
        print(f"WRONG: {what}", flush=True)
        self.wrong.append(what)

    def end(self, process: subprocess.Popen[str], how: str) -> str | None:
        """End a run in a way of ENDS; returns how, or None where it had ended before."""
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            workers = [p for p in parent.children() if "bench.worker" in p.cmdline()]
            if how == "a worker" and workers:
                self.draw.choice(workers).kill()
                return how
            if how == "all at once":
                for each in [parent, *workers]:
                    with suppress(psutil.NoSuchProcess):
                        each.kill()
                return how
        if how in SIGNALS and how != "SIGKILL":
            while process.poll() is None and not answers_signals(process.pid):
                time.sleep(0.001)  # Python itself still starts
        for number in SIGNALS.get(how, [signal.SIGKILL]):
            process.send_signal(number)
            time.sleep(0.01)
        return how if process.poll() is None or process.returncode != 0 else None

    def disturbed(self, out: Path, longest_s: float, most: int) -> int:
        """A run that is ended up to `most` times, and resumed until it is whole; returns how often
        it was ended.
        """
        ends = 0
        while True:
            begun = (out / "run.json").exists()
            process = self.start(*(["run", "--resume", str(out)] if begun else self.words(out)))
            how = None
            if ends < most:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(self.draw.uniform(0, SOON * longest_s))
                if process.poll() is None:
                    how = self.end(process, self.draw.choice(ENDS))
            _, said = process.communicate(timeout=600)
            if how:
                ends += 1
                self.ends[how] += 1
            after = f"{how or 'its own end'} (exit code {process.returncode})"
            self.check_said(said, after)
            ended = process.returncode in (0, 1)
            self.check_nothing_left(after, whole=out if ended else None)
            if ended:
                return ends
            if not how:
                self.note(f"exit code {process.returncode} without a cause: {said[-300:]}")
                return ends

    def check_said(self, said: str, after: str) -> None:
        """Note a traceback, or more than a line."""
        if "Traceback" in said or len(said.splitlines()) > 1:
            self.note(f"said after {after}: {said[-1500:]}")

    def check_rows(self, out: Path, expected: dict[object, Record]) -> int:
        """Note rows that are lost, doubled or not those `expected`; returns how many there are."""
        rows = read(out)
        counts = Counter((row.cell, row.replicate) for row in rows)
        self.wrong += [f"{out}: doubled {key}" for key, count in counts.items() if count > 1]
        self.wrong += [f"{out}: lost {key}" for key in expected.keys() - counts.keys()]
        self.wrong += [f"{out}: not planned {key}" for key in counts.keys() - expected.keys()]
        for row in rows:
            if row.status == "ok" and fingerprint(row) != fingerprint(
                expected[row.cell, row.replicate]
            ):
                self.note(f"{out}: another {row.cell.label} #{row.replicate}")
            elif row.status != "ok" and "killed by SIGKILL" not in (row.reason or ""):
                self.note(f"{out}: {row.status}: {row.reason}")
        return len(rows)


def answers_signals(pid: int) -> bool:
    """Whether a process has a handler of SIGTERM, as all of ours from their first line on."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def fingerprint(row: Record) -> tuple[object, ...]:
    """What two processes of one task have in common."""
    return row.weights_sha256, row.data_sha256, row.drawn_seed, row.losses, sum(row.block_steps)


@contextmanager
def campaign(impl: Sequence[str], seed: int, cache: Path | None = None) -> Iterator[Campaign]:
    """A campaign in a folder of its own, which is removed; `cache` is not looked at afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="campaign-"))
    try:
        files: list[str] = []
        for name in impl or [str(FAKE)]:
            files.append(str(shutil.copy(name, folder)) if name.endswith(".py") else name)
        yield Campaign(folder, files, seed, cache)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def kills(number: int, impl: Sequence[str], seed: int, most: int = 12) -> list[str]:
    """End runs `number` times, `most` times each at most; returns what was wrong."""
    with campaign(impl, seed) as found:
        whole, again = found.folder / "whole", found.folder / "again"
        found.disturbed(whole, 0, 0)  # which fills the cache
        expected: dict[object, Record] = {(r.cell, r.replicate): r for r in read(whole)}
        began_s = time.monotonic()
        found.disturbed(again, 0, 0)
        longest_s = time.monotonic() - began_s
        found.check_rows(again, expected)
        ended = runs = rows = 0
        while ended < number:
            out = found.folder / f"run-{runs}"
            ended += found.disturbed(out, longest_s, min(most, number - ended))
            rows += found.check_rows(out, expected)
            runs += 1
            print(f"{ended} ends of {runs} runs, {rows} rows, {len(found.wrong)} wrong", flush=True)
        ways = ", ".join(f"{how} {count}" for how, count in sorted(found.ends.items()))
        print(f"{runs} runs ended {ended} times ({ways}): {len(found.wrong)} wrong")
        return found.wrong


def kinds(names: Sequence[str] = (), cache: Path | None = None) -> list[str]:
    """Measure every kind of fault, or those named, beside a good one; returns what was wrong."""
    from benchmarks.misbehaving import KINDS, write

    chosen = {name: KINDS[name] for name in names or KINDS}
    with campaign((), 0, cache) as found:
        files = [*found.impl, *(str(write(found.folder, name)) for name in chosen)]
        out = found.folder / "run"
        process = found.start(
            *("run", "--impl", *files, "--workload", "train", "--optimizer", "sgd", "--no-certify"),
            *("--steps", "10", "--replicates", "1", "--timeout", "5", "--out", str(out)),
        )
        _, said = process.communicate(timeout=900)
        found.check_said(said, "all kinds")
        found.check_nothing_left("all kinds")
        rows = {Path(row.implementation).stem: row for row in read(out)}
        for name, kind in {FAKE.stem: ("", "ok", None), **chosen}.items():
            row = rows.get(name)
            ended = f"{row.status}: {row.reason}" if row else "no row"
            right = row is not None and row.status == kind[1] and (kind[2] or "") in ended
            print(f"{'as expected' if right else 'WRONG':12} {name:28} {ended}")
            if not right:
                found.wrong.append(f"{name}: {ended}; expected {kind[1:]}")
        for log in (out / "logs").iterdir():
            if log.stat().st_size > 3 * 2**20:
                found.note(f"{log}: {log.stat().st_size} bytes")
        return found.wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaign", choices=("kills", "kinds"))
    parser.add_argument("number", nargs="?", type=int, default=200)
    parser.add_argument("impl", nargs="*")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    campaigns: dict[str, Callable[[], list[str]]] = {
        "kills": lambda: kills(options.number, options.impl, options.seed),
        "kinds": kinds,
    }
    wrong = campaigns[options.campaign]()
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
