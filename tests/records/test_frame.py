"""Records as a DataFrame: every field, under its name, with what is unknown told from 0."""

import re
from pathlib import Path

import pandas
import pytest

from bench.errors import UsageError
from bench.records import FIELDS, Record, load
from builders import record, timed

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "results" / "20261123-004002-quick"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two rows, one of which measured nothing."""
    rows: list[Record] = [
        timed([0.1, 0.2], test_accuracy=0.0, steady=False, threads=2, versions={"numpy": "2"}),
        record(status="oom", reason="=no memory", optimizer=None),
    ]
    path = tmp_path / "records.jsonl"
    path.write_text("".join(f"{row.to_json()}\n" for row in rows), encoding="utf-8")
    return path


def test_every_field_is_a_column_and_every_record_a_row(file: Path) -> None:
    frame = load(file)
    assert tuple(frame.columns) == FIELDS
    assert list(frame.status) == ["ok", "oom"]


def test_columns_have_the_dtypes_of_their_fields(file: Path) -> None:
    dtypes = load(file).dtypes.astype(str)
    assert (dtypes.machine, dtypes.optimizer) == ("string", "string")
    assert (dtypes.batch_size, dtypes.threads, dtypes.steady) == ("int64", "Int64", "boolean")
    assert (dtypes.test_accuracy, dtypes.block_s) == ("float64", "object")
    assert dtypes.utc.startswith("datetime64[")
    assert dtypes.utc.endswith(", UTC]")


def test_unknown_is_not_0(file: Path) -> None:
    frame = load(file)
    for name in ("test_accuracy", "threads", "steady"):
        assert list(frame[name].isna()) == [False, True]
    assert frame.test_accuracy[0] == 0.0
    assert frame.optimizer.isna()[1]


def test_lists_and_mappings_stay_what_they_are(file: Path) -> None:
    frame = load(file)
    assert list(frame.block_s) == [[0.1, 0.2], []]
    assert list(frame.versions) == [{"numpy": "2"}, {}]
    assert frame.reason[1] == "=no memory"


def test_columns_are_the_same_where_nothing_is_known(tmp_path: Path, file: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    assert list(load(empty).dtypes.astype(str)) == list(load(file).dtypes.astype(str))


def test_paths_may_be_one_or_several_files_or_folders(file: Path) -> None:
    assert len(load(str(file))) == len(load(file.parent)) == 2
    assert len(load([file, str(file.parent)])) == 4
    assert len(load(file.parents[1] / file.parent.name)) == 2


def test_a_line_that_was_cut_off_is_warned_of(file: Path) -> None:
    with file.open("a", encoding="utf-8") as end:
        end.write("{")
    with pytest.warns(UserWarning, match="line 3: cut off"):
        assert len(load(file)) == 2


def test_what_is_no_record_is_refused(file: Path) -> None:
    with file.open("a", encoding="utf-8") as end:
        end.write("Epoch 1/3\n")
    with pytest.raises(UsageError, match="line 3: not JSON"):
        load(file)


def test_the_readmes_example_runs_and_says_what_it_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    readme = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    [program] = re.findall(r"```python\n(from bench.records.*?)```", readme, re.DOTALL)
    names: dict[str, object] = {}
    exec(program, names)
    said = [line.partition("# ")[2] for line in program.splitlines() if line.startswith("print(")]
    assert capsys.readouterr().out.splitlines() == said
    assert isinstance(names["speeds"], pandas.DataFrame)
