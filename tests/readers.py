"""Every reader of files and of words, what is done with what it takes, and inputs to damage."""

import io
import json
import struct
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from rich.console import Console

from bench import cache
from bench.analysis.precision import standings
from bench.calibrate import largest
from bench.calibrate.noise import Differences
from bench.cli import standing
from bench.cli.main import parser
from bench.cli.request import request_of
from bench.compare import markdown as comparison
from bench.compare.comparison import comparisons
from bench.compare.sides import side
from bench.data import images
from bench.errors import UsageError
from bench.identity.certificate import Certificate, Half
from bench.obstacles import obstacle
from bench.parent.outcome import Outcome
from bench.plan import times
from bench.plan.observed import observed
from bench.records import Record
from bench.records.folder import RunFolder
from bench.records.frame import frame
from bench.records.merging import merge
from bench.records.record import from_json
from bench.records.run import Peak
from bench.reports import rates
from bench.reports.formats import csv, html, index, markdown, terminal
from bench.reports.formats.certificates import render as certificates
from bench.reports.report import Report
from bench.reports.sections import around_blocks
from bench.request.matrix import cells_of, named
from bench.run.check import check_weights
from bench.run.record import record as row_of
from bench.run.stopping import rounds
from bench.validation import parse, plain
from builders import JAX, TENSORFLOW, record, run, timed
from documents import HOSTILE_TEXT, as_json, damaged, scratched
from resnet_impls import weights
from resnet_impls.architecture import ARCHITECTURES

ROWS = [
    timed([1.0, 1.1, 0.9], replicate=0, losses=(2.0, 1.0), accuracies=(0.5,), reached_steps=3),
    timed([1.0, 1.2, 0.8], replicate=1, cohort="1", block_other_cores=(0.1, 0.2, 0.0)),
    timed([2.0, 2.1, 1.9], replicate=0, **TENSORFLOW, latency_ms=(1.0, 2.0), import_s=3.0),
    timed(
        [1.0, 2.0],
        model="resnet20",
        busy=True,
        steady=False,
        throttled=True,
        power_capped_s=1.0,
        compilations_while_timed=2,
        block_own_cores=(1.0, 1.0),
        block_other_cores=(1.0, 1.0),
        block_stolen_cores=(0.0, 0.1),
        block_host_mib=(1.0, 2.0),
    ),
    timed([2.0, 2.1, 1.9], replicate=0, workload="infer", optimizer=None, recipe=None, **JAX),
    record(status="crashed", reason="why", replicate=1, **TENSORFLOW),
    timed([1.0], precision="tf32", versions={"torch": "2"}, settings={"jit": "xla"}, device="cuda"),
    timed(
        [1.0, 1.0],
        workload="train-to",
        target_accuracy=0.9,
        evaluate_every=10,
        reached_steps=20,
        reached_train_s=2.0,
        first_step_s=0.5,
        warmup_s=0.1,
        evaluation_s=0.1,
        request_s={"build": 1.0},
    ),
]
RUN = run(
    options={
        "impl": ["torch_module", "flax_nnx"],
        "device": ["cpu"],
        "batch_size": [8, "max"],
        "steps": 4,
        "cap": 8,
        "threads": [1],
        "replicates": 2,
        "precision_target": 0.01,
        "max_replicates": 4,
    },
    peaks={"cpu": {"1/fp32": {"gflop_per_s": 200.0, "library": "x", "copy_gb_per_s": 20.0}}},
    noise_floor={"cpu": {"value": 0.01, "replicates": 1, "log_ratios": [0.1, -0.1]}},
    spent_s={"measuring": 3.0},
    left_out=[{"what": "x", "reason": "y"}],
    budget_s=60.0,
    utc="2026-01-01T00:00:00+00:00",
)

Check = Callable[[Any, Path], None]


def use(report: Report) -> None:
    """All that is made of records and runs."""
    markdown.render(report)
    "".join(csv.results(report))
    csv.summary(report)
    html.page_of(report)
    index.markdown([index.Entry(Path("run"), report, ["report.md"])])  # type: ignore[arg-type]
    index.page([index.Entry(Path("run"), report, ["report.md"])])  # type: ignore[arg-type]
    console = Console(file=io.StringIO(), width=80)
    console.print(*terminal.tables(report))
    around_blocks.notice(report.records)
    observed(report.records, report.runs)
    for each in report.runs:
        for contest in standing.contests(report.records, each, [r.cell for r in report.records]):
            standing.order(contest)
            console.print(standing.table(contest))
        standings(list(report.records), each, 0.01, 5)
    frame(list(report.records))


def check_line(line: bytes, place: Path) -> None:
    try:
        row = from_json(line)
    except ValueError as error:
        raise UsageError(str(error)) from None
    assert from_json(row.to_json()) == row
    others = [each for each in ROWS if each.cell != row.cell or each.replicate != row.replicate]
    use(Report([row, *others], [RUN]))


def put(folder: Path, run_json: bytes, records: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_bytes(run_json)
    (folder / "records.jsonl").write_bytes(records)
    return folder


def lines(rows: Iterable[Record]) -> bytes:
    return b"".join(row.to_json().encode() + b"\n" for row in rows)


def check_records(content: bytes, place: Path) -> None:
    base = put(place / "base", as_json(plain(RUN)), lines(ROWS))
    new = put(place / "new", as_json(plain(RUN)), content)
    folder = RunFolder.open(new)
    merged = merge([(folder.run, folder.records()), (RUN, ROWS)])
    use(Report(merged.records, merged.runs, remarks=merged.remarks))
    folder.drop_cut_off_line()
    found = comparisons(side(base), [side(new)], {"slower": 0.03})
    comparison.render(found, {"slower": 0.03}, controlled=False)


def check_run(content: bytes, place: Path) -> None:
    folder = RunFolder.open(put(place / "run", content, lines(ROWS)))
    use(Report(folder.records(), [folder.run]))
    request = folder.run.options
    cells = cells_of(request)
    check_weights(cells)
    named(cells, request)
    actual, _ = largest.numbered(request, cells, {})
    for cell in actual:
        obstacle(cell)
        if cell.device == "cpu" or folder.run.machine.gpus:
            row = row_of((cell, 0), Outcome("crashed", "why", "0"), None, folder.run)
            assert from_json(row.to_json()) == row  # what would be written can be read
    next(iter(rounds(folder.run, actual, folder.records, lambda line: None)))


def check_rates(content: bytes, place: Path) -> None:
    file = place / "machines.toml"
    file.write_bytes(content)
    known = rates.read(file, ROWS)
    use(Report(ROWS, [RUN], rates=known))


def check_weights_file(content: bytes, place: Path) -> None:
    file = place / "weights.safetensors"
    file.write_bytes(content)
    try:
        found = weights.load(file, ARCHITECTURES["resnet14"])
    except ValueError as error:
        raise UsageError(str(error)) from None
    weights.fingerprint(found)


def check_entry(content: bytes, place: Path) -> None:
    path = cache.folder() / "fuzz.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    cache.read("fuzz.json")
    cache.find("fuzz.json")


def check_content(content: bytes, place: Path) -> None:
    for kind in (Half, Peak, times.Times, dict[str, Differences], dict[str, dict[str, Any]]):
        try:
            found: Any = parse(content, kind)
        except ValueError:
            continue
        if isinstance(found, Half):
            executable = ROWS[0].cell.executable
            certificates({executable: Certificate(found, found)}, "0.1.0")
            assert isinstance(found.verdict, str)
            assert not (found.passed and not found.checks)


def check_images(content: bytes, place: Path) -> None:
    for name in (*images.CIFAR10_TRAIN, *images.CIFAR10_TEST):
        (place / name).write_bytes(content)
    images.cifar10(place)


def check_words(words: list[str], place: Path) -> None:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        try:
            options = parser().parse_args(words)
        except SystemExit:
            return
        if options.command == "run":
            cells_of(request_of(options))


def mixed(document: Any) -> st.SearchStrategy[bytes]:
    """A damaged document, whole or scratched."""
    return damaged(document).map(as_json) | damaged(document).map(as_json).flatmap(scratched)


def toml(document: dict[str, dict[str, Any]]) -> bytes:
    text = "\n".join(
        f"[{json.dumps(name)}]\n"
        + "\n".join(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items())
        for name, table in document.items()
        if isinstance(table, dict)
    )
    for word, raw in (("@digits@", "9" * 5000), ("@deep@", "[" * 5000 + "]" * 5000)):
        text = text.replace(f'"{word}"', raw)
    return text.replace('"@nan@"', "nan").replace('"@infinite@"', "-inf").encode()


HEADER: dict[str, Any] = {
    "stem.conv.kernel": {"dtype": "F32", "shape": [3, 3, 3, 16], "data_offsets": [0, 1728]},
    "head.bias": {"dtype": "F32", "shape": [10], "data_offsets": [1728, 1768]},
    "__metadata__": {"a": "b"},
}


@st.composite
def safetensors(draw: st.DrawFn) -> bytes:
    header = as_json(
        draw(
            damaged(HEADER)
            | st.sampled_from(["BF16", "F8_E4M3", "F16", "I64", "BOOL", "F64"]).map(
                lambda kind: {**HEADER, "head.bias": {**HEADER["head.bias"], "dtype": kind}}
            )
        )
    )
    length = draw(st.just(len(header)) | st.integers(0, 2**64 - 1))
    return draw(scratched(struct.pack("<Q", length) + header + bytes(1768)))


OPTIONS = sorted(
    option
    for command in ("run", "certify", "report", "compare", "doctor", "machine", "describe")
    for option in parser()._subparsers._group_actions[0].choices[command]._option_string_actions  # type: ignore
)
WORDS = st.sampled_from(
    [
        *("run", "run", "run", "list", "report", "compare", "certify", "describe", "doctor"),
        *("torch_module", "keras_functional[jax]", "keras_functional[", "all", "nowhere.py"),
        *("resnet14", "train", "infer", "train-to", "train+input", "cpu", "fp32", "bf16", "max"),
        *("8", "0", "-1", "1e9", "0.5", "97%", "10m", "9" * 5000, "nan", "digits", "cifar10"),
        *HOSTILE_TEXT,
    ]
)
COMMAND_LINES = st.lists(WORDS | st.sampled_from(OPTIONS) | st.text(max_size=8), max_size=8).map(
    lambda words: ["run", *words]
)

READERS: dict[str, tuple[int, Check, st.SearchStrategy[Any]]] = {
    "a record": (4_000, check_line, st.sampled_from([plain(row) for row in ROWS]).flatmap(mixed)),
    "records": (4_000, check_records, scratched(lines(ROWS)) | st.binary(max_size=200)),
    "run.json": (4_000, check_run, mixed(plain(RUN))),
    "machines.toml": (
        6_000,
        check_rates,
        damaged(
            {
                "desk": {"price_per_hour": 0.12, "currency": "EUR", "power_w": 45},
                "Example CPU": {"power_w": 30.5},
            }
        )
        .map(toml)
        .flatmap(scratched),
    ),
    "weights": (16_000, check_weights_file, safetensors()),
    "an entry of the cache": (
        28_000,
        check_entry,
        scratched(
            cache._header("fuzz.json", "0" * 64) + b'{"gflop_per_s": 1}',
        ),
    ),
    "the content of an entry": (
        12_000,
        check_content,
        st.sampled_from(
            [
                {"checks": [["gradients", 1e-9, 1e-5], ["tensors", 0.0, 0.0]], "failure": None},
                {"gflop_per_s": 200.0, "library": "x", "copy_gb_per_s": 20.0, "utc": "2026"},
                plain(times.Times(observed=tuple(observed(ROWS, [RUN])))),
                {"cpu": {"contender": "a", "contest": "b", "log_ratios": [0.1], "utc": "c"}},
            ]
        ).flatmap(mixed),
    ),
    "CIFAR-10": (14_000, check_images, st.binary(max_size=100) | scratched(bytes(3073))),
    "the command line": (18_000, check_words, COMMAND_LINES),
}
