"""One plan on a Slurm cluster: an array of shards for each kind of node, and a job that merges.

By plain batch scripts, and not by submitit: that pickles a Python call, which nobody can read,
change or submit again. A script of this kind can be kept with the results, sent to whoever runs the
cluster, and given to `sbatch` by hand; and nothing but Slurm has to be installed.

The unit is a shard, since contenders of a contest are measured side by side on one node. A task
that is requeued, as after a preemption, finds the folder of its shard and goes on with it.
"""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench import __file__ as here
from bench.errors import UsageError
from bench.files import write
from bench.words import plural

MERGE = "merge.sh"
ANSWER_S = 120  # that Slurm's commands may take, whose controller may be busy


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A run of the whole plan on each kind of node."""

    words: Sequence[str]  # of `resnet-bench run`, without `run`
    resuming: Sequence[str]  # those of them that go with `--resume`
    shards: int
    kinds: Mapping[str, Sequence[str]]  # name of a kind -> options of sbatch that choose its nodes
    options: Sequence[str]  # of sbatch, for every job
    nodes: Sequence[str]  # of sbatch, for the jobs that measure
    shared: bool  # several jobs may be on a node, each on processors of its own
    machine_name: str | None  # of all nodes of a kind; None: the kind's
    at_once: int | None  # tasks of an array that run at the same time; None: as Slurm decides
    out: Path  # absolute
    start: Path  # absolute: where relative paths of `words` begin


def scripts(asked: Asked) -> dict[Path, str]:
    """The batch scripts, one for each kind of node and one that merges, by their files."""
    found = {asked.out / f"{kind}.sh": _shards(asked, kind) for kind in asked.kinds}
    return {**found, asked.out / MERGE: _merge(asked)}


def submit(asked: Asked) -> list[str]:
    """Write the scripts, and submit them; returns what was submitted, a line each.

    Raises UsageError where Slurm refuses one, and then none is left in its queue.
    """
    if not shutil.which("sbatch"):
        raise UsageError(
            "cluster slurm: there is no sbatch here; submit from a node of a Slurm cluster, or see "
            "the scripts by --dry-run"
        )
    try:
        (asked.out / "logs").mkdir(parents=True)
        for path, text in scripts(asked).items():
            write(path, text)
    except OSError as error:
        raise UsageError(f"--out {asked.out}: cannot be written ({error.strerror})") from None
    jobs: dict[str, str] = {}
    try:
        for kind in asked.kinds:
            jobs[kind] = _sbatch(asked.out / f"{kind}.sh")
        after = f"--dependency=afterany:{':'.join(jobs.values())}"
        merging = _sbatch(asked.out / MERGE, after)
    except BaseException:
        if jobs:
            with suppress(OSError, subprocess.SubprocessError):
                subprocess.run(["scancel", *jobs.values()], timeout=ANSWER_S, check=False)
        shutil.rmtree(asked.out)
        raise
    every = plural(asked.shards, "shard")
    return [
        *(f"job {job}: {every} on {kind}, by {kind}.sh" for kind, job in jobs.items()),
        f"job {merging}: merges them into {asked.out / 'merged'}",
    ]


def _sbatch(script: Path, *options: str) -> str:
    """Submit a script; returns the number of its job."""
    try:
        done = subprocess.run(
            ["sbatch", "--parsable", *options, str(script)],
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"sbatch {script.name}: no answer ({error}); nothing is queued") from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise UsageError(f"sbatch refused {script.name}, and nothing is queued: {said}")
    return done.stdout.strip().partition(";")[0]  # behind it, the cluster's name


def _shards(asked: Asked, kind: str) -> str:
    """The script of an array: what each of its tasks runs."""
    folder = asked.out / kind
    limit = f"%{asked.at_once}" if asked.at_once else ""
    # else the second job of a node would be told that another measurement goes on; the run itself
    # makes the folder only once it holds the lock
    lock = f'mkdir -p {shlex.quote(str(folder))}\nexport RESNET_BENCH_LOCK="$part.lock"\n'
    apart = lock if asked.shared else ""
    name = asked.machine_name or kind
    named = [] if "--machine-name" in asked.words else ["--machine-name", name]
    fresh = _run([*asked.words, *named])
    resuming = "".join(f" {shlex.quote(word)}" for word in asked.resuming)
    head = _head(
        *("--job-name=resnet-bench", f"--array=1-{asked.shards}{limit}"),
        f"--output={_pattern(asked.out / 'logs' / kind)}-%a.log",
        *("--open-mode=append", "--requeue", "--nodes=1", "--ntasks=1"),
        *(*asked.options, *asked.nodes, *asked.kinds[kind]),
    )
    return f"""{head}
# Each task measures one shard of a plan, on one node. A task that is requeued goes on with its
# shard. By hand, shard 3 goes on by: sbatch --array=3 {shlex.quote(str(asked.out / f"{kind}.sh"))}

cd {shlex.quote(str(asked.start))} || exit
shard=$SLURM_ARRAY_TASK_ID
part={shlex.quote(str(folder))}/part-$shard
echo "shard $shard/{asked.shards} on $SLURMD_NODENAME, requeued ${{SLURM_RESTART_COUNT:-0}} times"
{apart}if [ -e "$part/run.json" ]; then
    exec {_run([])} --resume "$part"{resuming}
fi
rm -rf "$part" # of a task that was killed before it could measure
exec {fresh} \\
    --shard "$shard/{asked.shards}" --out "$part"
"""


def _merge(asked: Asked) -> str:
    """The script of the job that puts all shards of all kinds into one report."""
    head = _head(
        *("--job-name=resnet-bench-merge", f"--output={_pattern(asked.out)}/logs/merge.log"),
        *("--no-requeue", "--ntasks=1", "--cpus-per-task=1", *asked.options),
    )
    merged = shlex.quote(str(asked.out / "merged"))
    return f"""{head}
# The report of what the shards have measured by now. It names those that are missing. When they
# are there, merge again by: sbatch {shlex.quote(str(asked.out / MERGE))}

cd {shlex.quote(str(asked.start))} || exit
rm -rf {merged}
exec {_words([*_program(), "report", str(asked.out), "--out", str(asked.out / "merged")])}
"""


def _head(*options: str) -> str:
    return "\n".join(["#!/bin/sh", *(f"#SBATCH {_directive(option)}" for option in options)])


def _directive(option: str) -> str:
    """An option as sbatch reads it from a script: its quotes are not those of a shell.

    Raises UsageError for one that does not fit on a line.
    """
    if not option.isprintable():
        raise UsageError(f"{option!r}: is no option that a line of a script can hold")
    if not any(character in option for character in " \t'\"\\#"):
        return option
    escaped = option.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _pattern(path: Path) -> str:
    """A path in a name that Slurm fills in."""
    return str(path).replace("%", "%%")


def _run(words: Sequence[str]) -> str:
    return _words([*_program(), "run", *words])


def _program() -> list[str]:
    """This very installation, or checkout, which all nodes see at the same place."""
    return [sys.executable, str(Path(here).resolve().with_name("__main__.py"))]


def _words(words: Sequence[str]) -> str:
    """A command for people: as many words in a line as fit."""
    lines = [""]
    for word in map(shlex.quote, words):
        if lines[-1] and len(lines[-1]) + len(word) > 90:
            lines.append("   ")
        lines[-1] += f" {word}" if lines[-1] else word
    return " \\\n".join(lines)
