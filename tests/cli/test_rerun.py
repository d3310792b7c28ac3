"""`resnet-bench rerun`: rows measured again as they were."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli.rerun import chosen
from bench.errors import UsageError
from bench.records.folder import RunFolder
from bench.records.reading import read
from builders import record

Run = Callable[..., subprocess.CompletedProcess[str]]

EAGER, GRAPH = record(), record(mode="graph", batch_size=32, replicate=1)


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        (None, [EAGER, GRAPH]),
        ([["torch_module", "eager"]], [EAGER]),
        ([["train resnet14 cpu fp32 batch 32 adam digits 100 steps"]], [GRAPH]),
        ([["torch_module,torch,graph,resnet14,train"]], [GRAPH]),
        ([["eager"], ["batch", "32"]], [EAGER, GRAPH]),
    ],
)
def test_rows_are_named_by_words_of_theirs(given: list[list[str]] | None, rows: object) -> None:
    assert chosen([EAGER, GRAPH], given) == rows


def test_a_name_that_no_row_has_lists_the_rows() -> None:
    with pytest.raises(UsageError, match=r"--row eager graph: .* rows: torch_module eager train"):
        chosen([EAGER, GRAPH], [["eager", "graph"]])


def test_a_row_is_measured_again_as_it_was(fake: Path, resnet_bench: Run, tmp_path: Path) -> None:
    out, again = tmp_path / "run", tmp_path / "again"
    resnet_bench(
        *("run", "--impl", fake, "--mode", "eager", "graph", "--workload", "train"),
        *("--optimizer", "sgd", "--no-certify", "--steps", 10, "--replicates", 1, "--seed", 3),
        *("--out", out),
    )
    described = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(described | {"resnet_bench": "0.0.9"}))
    _, *lines = (out / "summary.csv").read_text().splitlines()
    [line] = [line for line in lines if ",graph," in line]
    finished = resnet_bench("rerun", out, "--row", line, "--out", again)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith("differs: resnet-bench 0.0.9")
    assert "## " + str(again) + " against run" in finished.stdout
    old = {(row.mode, row.replicate): row for row in read(out)}
    rows = read(again)
    assert sorted((row.mode, row.replicate) for row in rows) == [("graph", 0)]
    for row in rows:
        then = old[row.mode, row.replicate]
        assert row.cell == then.cell
        assert (row.weights_sha256, row.data_sha256, row.losses) == (
            then.weights_sha256,
            then.data_sha256,
            then.losses,
        )
    rerun = RunFolder.open(again).run.rerun
    assert rerun is not None
    assert (rerun.of, rerun.rows) == ("run", (rows[0].cell.name,))
