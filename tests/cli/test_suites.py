"""Suites: options of `run` in a file, the same request as on the command line, and back."""

import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.main import main, parser
from bench.cli.suite import requested, written
from bench.records.asked import of_run
from bench.records.folder import RunFolder
from bench.request.matrix import cells_of
from bench.request.request import Request
from bench.request.suite import line_of, ready
from builders import run

ASKED = [
    "",
    "--impl torch_module 'keras_functional[jax]' --mode eager compiled --batch-size 8 16",
    "--workload train+input --input numpy torch --threads 1 2 --steps 9 --seed 7",
    "--workload train-to train --target-accuracy 97% --evaluate-every 3 --steps 50",
    "--workload train-to infer --target-accuracy 0.5",  # whose steps are not those of `infer`
    "--profile full --impl torch_module --no-certify --save-weights --share-compile-cache",
    "--precision-target 1% --max-replicates 40 --replicates 4 --optimizer adam sgd",
    "--model resnet18 --dataset synthetic --batch-size max --recipe article --device cpu",
    "--optimizer sgd adamw --weight-decay 5e-4 --schedule one-cycle --label-smoothing 0.1",
    "--workload infer-streams --streams 2 4 --impl onnxruntime_engine",
    "--precision fp32 bf16 --timeout 30 --out here --machine-name desk",
]


def request_of(*words: object) -> Request:
    given = ["run", *map(str, words)]
    options = parser().parse_args(given)
    options.words = given
    return requested(options)[1]


def refusal(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line that a command is refused with."""
    assert main(list(map(str, words))) == 2
    captured = capsys.readouterr()
    [line] = captured.err.splitlines()
    assert captured.out == ""
    return line


@pytest.mark.parametrize("words", ASKED)
def test_what_is_saved_asks_for_the_same(words: str, tmp_path: Path) -> None:
    file = tmp_path / "saved.toml"
    assert main(["run", *shlex.split(words), "--save-config", str(file)]) == 0
    assert request_of("--config", file) == request_of(*shlex.split(words))


@pytest.mark.parametrize("words", ASKED)
def test_a_run_turned_into_a_suite_has_the_same_cells(words: str, tmp_path: Path) -> None:
    request = request_of(*shlex.split(words))
    folder = RunFolder.create(tmp_path / "run", replace(run(), options=request))
    for name in (folder.path, folder.path / "run.json"):
        again = request_of("--config", name)
        assert set(cells_of(again)) == set(cells_of(request))
    whole = ("replicates", "precision_target", "max_replicates", "certify", "save_weights")
    for field in (*whole, "share_compile_cache"):
        assert getattr(again, field) == getattr(request, field)
    file = tmp_path / "again.toml"
    file.write_text(written("again", *of_run(folder.run)))
    assert request_of("--config", file) == again
    saved = tmp_path / "saved.toml"
    assert main(["run", "--config", str(folder.path), "--save-config", str(saved)]) == 0
    assert request_of("--config", saved) == again


def test_a_run_with_a_budget_is_asked_for_with_that_budget() -> None:
    shared, [matrix] = of_run(run(budget_s=90, options={"steps": 40, "replicates": 3}))
    assert shared["budget"] == "90s"
    assert "replicates" not in shared
    assert "steps" not in matrix


def test_options_of_the_command_line_go_before_those_of_a_suite(tmp_path: Path) -> None:
    file = tmp_path / "suite.toml"
    file.write_text('steps = 9\ncertify = false\nimpl = "torch_module"\nbatch-size = [4, 8]\n')
    request = request_of("--config", file, "--steps", 5, "--certify")
    assert request == request_of(*shlex.split("--steps 5 --impl torch_module --batch-size 4 8"))


def test_each_matrix_has_its_cells_and_what_all_share(tmp_path: Path) -> None:
    file = tmp_path / "suite.toml"
    file.write_text(
        'steps = 9\nreplicates = 2\n[[matrix]]\nimpl = ["torch_module"]\nbatch-size = [4]\n'
        '[[matrix]]\nimpl = ["flax_nnx"]\nworkload = ["infer"]\nsteps = 7\n'
    )
    found = [
        (cell.implementation, cell.workload, cell.batch_size, cell.steps)
        for cell in cells_of(request_of("--config", file))
    ]
    assert found == [
        ("torch_module", "train", 4, 9),
        ("torch_module", "infer", 4, 9),
        ("flax_nnx", "infer", 32, 7),
    ]
    assert request_of("--config", file).replicates == 2


def test_paths_are_taken_from_the_folder_of_the_suite(tmp_path: Path, fake: Path) -> None:
    file = tmp_path / "suite.toml"
    relative = fake.relative_to(tmp_path)
    file.write_text(f'impl = ["./{relative}"]\nload-weights = "w.safetensors"\n')
    request = request_of("--config", file)
    assert request.impl == (str(fake),)
    assert request.load_weights == str(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ready())
def test_a_ready_suite_asks_for_something(name: str) -> None:
    request = request_of("--config", name)
    assert ready()[name].description
    assert cells_of(request)


MISTAKES = [
    ("a = \n", "line 1"),
    (
        "# none\n\nbatchsize = [4]\n",
        "line 3: unknown option 'batchsize' (did you mean 'batch-size'",
    ),
    ("steps = 4\nsteps = 5\n", "Cannot overwrite a value (at line 2"),
    ("batch-size = [\n  4,\n  'x',\n]\nsteps = 0", "line 1: batch-size = [4, 'x']: 'x' is not a"),
    ("impl = ['flax_nnx']\n\nsteps = 0\n", "line 3: steps = 0: '0' is not a whole number above 0"),
    ("steps = true", "line 1: steps = True: must be a number"),
    ("steps = [1, 2]", "line 1: steps = [1, 2]: takes one value and no list"),
    ("steps = 1.5", "line 1: steps = 1.5: '1.5' is not a whole number"),
    ("steps = {a = 1}", "line 1: steps = {'a': 1}: must be a number"),
    ("seed = nan", "line 1: seed = nan: 'nan' is not"),
    ("impl = 5", "line 1: impl = 5: must be text in quotes"),
    ("impl = []", "line 1: impl = []: an empty list asks for nothing"),
    ("impl = ['flax']", "line 1: unknown implementation 'flax'"),
    ("mode = ['slow']", "line 1: mode = ['slow']: choose from eager"),
    ("certify = 'no'", "line 1: certify = 'no': must be true or false"),
    ("no-certify = true", "line 1: unknown option 'no-certify' (did you mean 'certify'"),
    ("resume = 'x'", "line 1: unknown option 'resume'"),
    ("help = true", "line 1: unknown option 'help'"),
    ("config = 'one-minute'", "line 1: unknown option 'config'"),
    ("description = 5", "line 1: description is a text in quotes"),
    ("matrix = 5", "line 1: write each matrix as a table, [[matrix]]"),
    ("matrix = []", "line 1: write each matrix as a table, [[matrix]]"),
    ("steps = 3\n[matrix]\nsteps = 4", "line 2: write each matrix as a table, [[matrix]]"),
    ("[[matrix]]\nsteps = 4\n\n[[matrix]]\nsteps = -1\n", "line 5: steps = -1"),
    ("[[matrix]]\nreplicates = 3", "line 2: replicates is of the whole run: write it above"),
    ("[[matrix]]\n\n[[matrix]]\ninput = ['numpy']\n", "line 3: --input is what feeds train+input"),
    ("budget = '5 minutes'", "line 1: budget = '5 minutes': '5 minutes' is not a time"),
    ("budget = '60s'\nsteps = 4", "--budget decides how much is measured: leave out --steps"),
    ("seed = " + "9" * 5000, "is not TOML"),
    ("a = " + "[" * 5000, "is not TOML (nested too deeply)"),
    ("# " + "x" * 2**20, "larger than 1 MiB"),
]


@pytest.mark.parametrize(("text", "told"), MISTAKES)
def test_a_mistake_is_told_by_file_and_line(
    text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "suite.toml"
    file.write_text(text)
    line = refusal(capsys, "run", "--config", file, "--out", tmp_path / "out")
    assert told in line
    assert not (tmp_path / "out").exists()


def test_what_is_no_suite_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "latin.toml").write_bytes(b"description = '\xe9'")
    for name, told in (
        ("one-minut", "unknown suite 'one-minut' (did you mean 'one-minute'?)"),
        ("../suites/one-minute", "unknown suite '../suites/one-minute'"),
        (tmp_path, "unknown suite"),
        ("/dev/zero", "unknown suite"),
        ("n" * 300, "unknown suite"),
        (tmp_path / "latin.toml", "cannot be read"),
    ):
        assert told in refusal(capsys, "run", "--config", name)


def test_a_suite_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("steps = 4\n")
    assert "is there already" in refusal(capsys, "run", "--save-config", file)
    assert file.read_text() == "steps = 4\n"
    nowhere = tmp_path / "nowhere" / "mine.toml"
    assert "cannot be written" in refusal(capsys, "run", "--save-config", nowhere)


def test_the_line_of_a_value_is_where_it_begins() -> None:
    text = "a = 1\n\n# none\nb = [\n  2,\n]\n[[matrix]]\nc = '''\nd = 4\n'''\n[[matrix]]\nd = 5\n"
    assert line_of(text, ("a",)) == 1
    assert line_of(text, ("b",)) == 4
    assert line_of(text, ("matrix", 0)) == 7
    assert line_of(text, ("matrix", 0, "c")) == 8
    assert line_of(text, ("matrix", 1, "d")) == 12


def test_a_run_measures_all_matrices_of_its_suite_and_says_so(
    resnet_bench: Callable[..., subprocess.CompletedProcess[str]], fake: Path, tmp_path: Path
) -> None:
    file = tmp_path / "suite.toml"
    file.write_text(
        f'impl = ["{fake}"]\ncertify = false\nprofile = "smoke"\nworkload = ["train"]\n'
        'optimizer = ["sgd"]\n[[matrix]]\nbatch-size = [16]\n[[matrix]]\nbatch-size = [32]\n'
    )
    finished = resnet_bench("run", "--config", file, "--out", "out")
    assert finished.returncode == 0, finished.stderr
    folder = RunFolder.open(tmp_path / "out")
    assert [row.batch_size for row in folder.records()] == [16, 32]
    assert set(cells_of(folder.run.options)) == {row.cell for row in folder.records()}
