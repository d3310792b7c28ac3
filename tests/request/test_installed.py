"""What a run takes that names no implementation."""

import pytest

from bench.cli.main import main, parser
from bench.cli.request import request_of
from bench.errors import UsageError
from bench.request import installed
from bench.request.matrix import cells_of, named
from builders import report_md, timed


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The distributions that count as installed, to be filled by a test."""
    present: set[str] = set()
    monkeypatch.setattr(installed, "installed", lambda name: "1" if name in present else None)
    return present


def test_a_bare_run_takes_what_is_installed_and_of_keras_one_api(packages: set[str]) -> None:
    packages |= {"torch", "keras", "onnx", "onnxruntime"}
    assert installed.implementations(["resnet14"], every=False) == (
        *("torch_module", "keras_functional[torch]", "onnxruntime_engine"),
    )
    whole = installed.implementations(["resnet14"], every=True)
    assert {"keras_subclass[torch]", "torch_export"} < set(whole)


def test_what_has_no_such_model_is_left_out(packages: set[str]) -> None:
    packages |= {"torch", "torchvision"}
    assert "torchvision_model" not in installed.implementations(["resnet14"], every=False)
    assert "torchvision_model" in installed.implementations(["resnet18"], every=False)


def test_what_is_missing_is_told_with_the_command_that_adds_it(packages: set[str]) -> None:
    packages |= {"torch", "torchvision", "keras", "openvino", "tensorflow", "ai-edge-litert"}
    assert installed.hint() == (
        "not installed: jax, onnxruntime (pip install 'resnet-bench[jax,onnxruntime]')"
    )
    packages |= {"jax", "flax", "optax", "onnx", "onnxruntime"}
    assert installed.hint() is None


def test_where_nothing_is_installed_one_line_says_what_to_do(
    packages: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="nothing that could be measured is installed"):
        installed.implementations(["resnet14"], every=False)
    assert main(["run"]) == 2
    assert "pip install 'resnet-bench[all]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "by_name", "every"),
    [
        ("", False, False),
        ("--profile standard", False, True),
        ("--impl all", False, True),
        ("--impl torch_module", True, False),
    ],
)
def test_only_what_the_user_names_is_missed(words: str, by_name: bool, every: bool) -> None:
    options = parser().parse_args(["run", "--device", "cpu", "--precision", "bf16", *words.split()])
    request = request_of(options)
    cells = cells_of(request)
    assert bool(named(cells, request)) is by_name
    assert any(cell.implementation == "keras_subclass" for cell in cells) is every
    assert any(cell.implementation == "torch_export" for cell in cells) is every


def test_a_report_says_what_a_bare_run_left_out() -> None:
    row = timed([0.1])
    taken = {"impl": ["torch_module", "keras_functional[jax]"], "impl_named": False}
    assert "a run that names no implementation takes the functional one" in report_md(
        row, options=taken
    )
    assert "leaves out `torch_export`" in report_md(row, options=taken)
    assert "functional one" not in report_md(row, options=taken | {"impl_named": True})
    assert "functional one" not in report_md(row, options={"impl": ["all"]})
