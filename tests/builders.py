"""Records and runs as they would be measured, and reports of them, for tests that read them."""

from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt

from bench.analysis import statistics
from bench.records import Record, Run
from bench.reports.formats import markdown
from bench.reports.report import Report
from bench.validation import convert, plain

HOSTILE = (
    "a|b \\| c\n\n# heading\r\n<script>alert(1)</script> &lt; `code` [link](http://x.example) "
    "Implementation.__init__() got *args, **options"
)

JAX = {
    "implementation": "keras_functional",
    "framework": "Keras",
    "backend": "jax",
    "mode": "compiled",
}
TENSORFLOW = JAX | {"backend": "tensorflow", "mode": "graph"}


def record(**changes: Any) -> Record:
    """A row of `torch_module` that measured nothing yet."""
    values: dict[str, Any] = {
        "run_id": "first",
        "utc": "2026-01-01T00:00:00+00:00",
        "machine": "desk",
        "processor": "Example CPU",
        "implementation": "torch_module",
        "framework": "PyTorch",
        "backend": "torch",
        "mode": "eager",
        "model": "resnet14",
        "workload": "train",
        "device": "cpu",
        "precision": "fp32",
        "batch_size": 64,
        "optimizer": "adam",
        "recipe": "constant",
        "learning_rate": 1e-3,
        "dataset": "digits",
        "seed": 0,
        "steps": 100,
        "replicate": 0,
        "status": "ok",
    }
    return Record(**values | changes)


def timed(block_s: Sequence[float], **changes: Any) -> Record:
    """A row whose blocks of ten steps took `block_s` seconds."""
    values: dict[str, Any] = {
        "cohort": "0",
        "block_s": tuple(block_s),
        "block_steps": (10,) * len(block_s),
        "weights_sha256": "a" * 64,
        "data_sha256": "b" * 64,
    }
    row = record(**values | changes)
    return record(**values | {"throughput_images_per_s": statistics.throughput(row)} | changes)


def processes(block_s: Sequence[float], **changes: Any) -> list[Record]:
    """One row for each of `block_s`, each of a process in a cohort of its own."""
    return [
        timed([seconds], replicate=number, cohort=str(number), **changes)
        for number, seconds in enumerate(block_s)
    ]


SPEEDS = (1.0, 1.01, 0.99, 1.005, 0.995)  # seconds of a block in each process of a usual cell


def slower(by: float, **changes: Any) -> list[Record]:
    """As many processes as of SPEEDS, of a second run, whose steps take longer by a part."""
    return processes([s * (1 + by) for s in SPEEDS], **{"run_id": "second"} | changes)


def run(**changes: Any) -> Run:
    """What `run.json` holds, checked as if it were read."""
    values: dict[str, Any] = {
        "run_id": "first",
        "command": "resnet-bench run --impl torch_module",
        "options": {},
        "machine": {
            "machine": "desk",
            "cpu": "Example CPU",
            "cpu_flags": ["avx2"],
            "physical_cores": 1,
            "logical_cores": 2,
            "memory_gib": 8.0,
            "gpus": [],
            "os": "Linux",
            "python": "3.11.7",
        },
    }
    return convert(plain(values | changes), Run)


def report(*records: Record, runs: Sequence[Run] | None = None, **changes: Any) -> Report:
    """A report of these records and their runs; without `runs` of one, with `changes`."""
    return Report(records, [run(**changes)] if runs is None else runs)


def report_md(*records: Record, runs: Sequence[Run] | None = None, **changes: Any) -> str:
    """The text of `report.md`, of what `report` takes."""
    return markdown.render(report(*records, runs=runs, **changes))


def section(text: str, heading: str) -> str:
    """What stands under a heading of a report that begins with `heading`."""
    return text.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]


def table_cells(text: str, kind: str = "td") -> list[str]:
    """The cells of tables in Markdown, as a reader sees them; `kind` th: those of headers."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return [
        "".join(part.content for part in tokens[index + 1].children or [])
        for index, token in enumerate(tokens)
        if token.type == f"{kind}_open"
    ]
