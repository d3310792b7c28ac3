"""A model as it is defined, and as real workers build it: what they share and where they differ."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.calibrate.describe import (
    differences,
    layer,
    parameter_counts,
    tensors,
    totals,
    trainable,
)
from bench.cli.main import main
from resnet_impls.architecture import ARCHITECTURES, Architecture

MakeFaulty = Callable[[str, str], Path]
Run = Callable[..., subprocess.CompletedProcess[str]]

every_architecture = pytest.mark.parametrize(
    "architecture", ARCHITECTURES.values(), ids=lambda architecture: architecture.name
)


def rows(shown: str) -> dict[str, list[str]]:
    """First word of each line -> the words behind it."""
    lines = [line.split() for line in shown.splitlines()]
    return {words[0]: words[1:] for words in lines if words}


@every_architecture
def test_the_totals_of_a_model_are_its_architectures(
    architecture: Architecture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["describe", architecture.name]) == 0
    shown = rows(capsys.readouterr().out)
    assert shown["trainable"] == ["parameters", f"{architecture.parameter_count:,}"]
    assert shown["forward"][0] == f"{architecture.forward_flops / 1e6:,.1f}"
    assert shown["training"][1] == f"{architecture.training_flops / 1e6:,.1f}"

    described = [shown[each.name] for each in architecture.layers]
    parameters = [int(words[2].replace(",", "")) for words in described]
    assert sum(parameters) == architecture.parameter_count
    megaflops = [float(words[3].replace(",", "")) for words in described if len(words) > 3]
    assert sum(megaflops) == pytest.approx(architecture.forward_flops / 1e6, rel=1e-3)


def test_the_articles_network_has_the_articles_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "resnet14"]) == 0
    shown = rows(capsys.readouterr().out)
    assert shown["stem.conv"] == ["conv", "32×32×16", "432", "0.88"]
    assert shown["stage3.block2.relu"] == ["relu", "8×8×64", "0"]
    assert shown["head"] == ["dense", "10", "650", "0.00"]
    assert shown["trainable"] == ["parameters", "195,738"]
    assert shown["running"][:2] == ["statistics", "1,120"]
    assert shown["size"][:2] == ["0.75", "MiB,"]


@every_architecture
def test_a_network_built_as_defined_differs_in_nothing(architecture: Architecture) -> None:
    defined = tensors(architecture)
    assert differences(architecture, defined) == []
    assert totals(defined)["trainable"] == architecture.parameter_count
    counts = parameter_counts(defined)
    assert counts == {each.name: each.parameters for each in architecture.layers if each.parameters}


@pytest.mark.parametrize(
    ("name", "path", "learns"),
    [
        ("stem.bn.mean", "stem.bn", False),
        ("stem.bn.variance", "stem.bn", False),
        ("stem.conv.bias", "stem.conv", True),
        ("stem_conv/bias", "stem_conv", True),
        ("('stem', 'bias')", "('stem', 'bias')", True),
        ("variance", "variance", False),
    ],
)
def test_a_name_tells_layer_and_whether_it_is_trained(name: str, path: str, learns: bool) -> None:
    assert (layer(name), trainable(name)) == (path, learns)


def test_frameworks_build_the_same_layers_side_by_side(resnet_bench: Run) -> None:
    finished = resnet_bench("describe", "resnet14", "--impl", "torch_module", "keras_subclass[jax]")
    assert finished.returncode == 0, finished.stderr
    shown = rows(finished.stdout)
    contenders = ["torch_module", "eager", "keras_subclass[jax]", "compiled"]
    assert shown["layer"] == ["definition", *contenders]
    for name, count in parameter_counts(tensors(ARCHITECTURES["resnet14"])).items():
        assert shown[name] == [f"{count:,}"] * 3
    assert shown["trainable"] == ["195,738"] * 3
    assert shown["not"] == ["trainable", *["1,120"] * 3]
    assert shown["all"] == ["196,858"] * 3
    assert "*" not in finished.stdout


def test_every_tensor_that_differs_is_marked_and_listed(
    faulty: MakeFaulty, resnet_bench: Run
) -> None:
    path = faulty(
        "differs",
        """
        def __init__(self, architecture, weights, **options):
            super().__init__(architecture, weights, **options)
            self.built = weights | {"stem.conv.bias": np.zeros(16), "aux/gate": np.zeros(())}
            self.built["head.kernel"] = np.zeros((64, 12))
            del self.built["stage1.block1.residual.bn1.mean"]

        def weights(self):
            return self.built
        """,
    )
    finished = resnet_bench("describe", "resnet14", "--impl", path)
    assert finished.returncode == 0, finished.stderr
    table, _, listed = finished.stdout.partition("* not as defined")
    shown = rows(table)
    assert shown["stem.conv"] == ["432", "*", "448"]
    assert shown["stage1.block1.residual.bn1"] == ["32", "*", "32"]
    assert shown["head"] == ["650", "*", "778"]
    assert shown["aux"] == ["–", "*", "1"]
    assert shown["stem.bn"] == ["32", "32"]
    assert shown["trainable"] == ["195,738", "*", "195,883"]
    assert shown["not"] == ["trainable", "1,120", "*", "1,104"]
    found = [line.split()[2:] for line in listed.splitlines()[2:]]
    assert found == [
        ["head.kernel", "64×10", "64×12"],
        ["stage1.block1.residual.bn1.mean", "16", "no"],
        ["stem.conv.bias", "no", "16"],
        ["aux/gate", "no", "1"],
    ]


def test_what_cannot_be_built_here_is_a_line_with_its_reason(
    faulty: MakeFaulty, fake: Path, resnet_bench: Run
) -> None:
    absent = faulty(
        "absent", "def __init__(self, *_, **options): raise ImportError('no lego here')"
    )
    dead = faulty("dead", "def weights(self): os._exit(3)")
    finished = resnet_bench(
        "describe", "resnet14", "--impl", fake, absent, dead, "torchvision_model"
    )
    assert finished.returncode == 1
    *_, first, second, third = finished.stdout.splitlines()
    assert rows(finished.stdout)["all"][-1] == "650"  # the fake is a head and nothing else
    assert first.split() == ["unavailable", "absent", "eager", "no", "lego", "here"]
    assert second.startswith("crashed     dead eager  exited with code 3 during its describe")
    assert third.startswith("unsupported torchvision_model eager")
    assert "no model resnet14" in third
