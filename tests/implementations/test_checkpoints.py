"""Trained weights in a file: saved by one framework, loaded by another, refused when unsound."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bench.cli.main import main
from bench.records.reading import read
from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.weights import fingerprint, initial_weights, load, save

Run = Callable[..., subprocess.CompletedProcess[str]]

RESNET14 = ARCHITECTURES["resnet14"]


@pytest.mark.long
def test_what_one_framework_learnt_another_evaluates_alike(
    resnet_bench: Run, tmp_path: Path
) -> None:
    run = ("run", "--no-certify", "--replicates", 1, "--batch-size", 8)
    trained = tmp_path / "trained"
    asked = ("--impl", "torch_module", "--workload", "train", "--steps", 30, "--recipe", "article")
    finished = resnet_bench(*run, *asked, "--save-weights", "--out", trained)
    assert finished.returncode == 0, finished.stderr
    [file] = (trained / "weights").iterdir()
    assert file.suffix == ".safetensors"
    [learnt] = read(trained)
    assert learnt.recipe == "article"

    evaluated = tmp_path / "evaluated"
    asked_there = (
        "--impl",
        "torch_module",
        "flax_nnx",
        "keras_subclass[torch]",
        "--workload",
        "infer",
    )
    finished = resnet_bench(
        *run, *asked_there, "--steps", 2, "--load-weights", file, "--out", evaluated
    )
    assert finished.returncode == 0, finished.stderr
    rows = read(evaluated)
    assert len(rows) == 3
    assert {row.test_accuracy for row in rows} == {learnt.test_accuracy}
    assert {row.weights for row in rows} == {str(file)}
    assert {row.weights_sha256 for row in rows} == {fingerprint(load(file, RESNET14))}
    assert learnt.weights_sha256 not in {row.weights_sha256 for row in rows}


def without_a_tensor(path: Path) -> None:
    tensors = load_file(path)
    del tensors["head.bias"]
    save_file(tensors, path)


def with_another_tensor(path: Path) -> None:
    save_file(load_file(path) | {"stem.conv.bias": np.zeros(16, np.float32)}, path)


def misshapen(path: Path) -> None:
    save_file(load_file(path) | {"head.bias": np.zeros(11, np.float32)}, path)


def in_float64(path: Path) -> None:
    save_file({name: np.float64(value) for name, value in load_file(path).items()}, path)


def of_type(kind: str) -> Callable[[Path], None]:
    """With a tensor of a type that NumPy lacks, as other programs write it."""

    def retyped(path: Path) -> None:
        size = 20 if kind == "BF16" else 10
        described = {"dtype": kind, "shape": [10], "data_offsets": [0, size]}
        header = json.dumps({"head.bias": described}).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))

    retyped.__name__ = kind
    return retyped


def lying(path: Path) -> None:
    """A header that says it holds a terabyte."""
    huge = {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}
    header = json.dumps({"head.bias": huge}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)


def a_long_header(path: Path) -> None:
    path.write_bytes(b"\xff" * 7 + b"\x7f" + b"{}")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def with_a_nan(path: Path) -> None:
    save_file(load_file(path) | {"head.bias": np.full(10, np.nan, np.float32)}, path)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def pickled(path: Path) -> None:
    np.save(path.with_suffix(".npy"), np.array([{"a": 1}], object))
    path.with_suffix(".npy").replace(path)


def of_another_model(path: Path) -> None:
    save(path, initial_weights(ARCHITECTURES["resnet20"], 0))


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (without_a_tensor, "no tensor head.bias"),
        (with_another_tensor, "unexpected tensor stem.conv.bias"),
        (misshapen, "head.bias is float32 (11,); in resnet14 it is float32 (10,)"),
        (in_float64, "float64"),
        (of_type("BF16"), "no tensor"),
        (of_type("F8_E4M3"), "no tensor"),
        (lying, "no safetensors file"),
        (a_long_header, "no safetensors file"),
        (a_pipe, "is no regular file"),
        (with_a_nan, "head.bias holds values that are not finite"),
        (cut_off, "no safetensors file"),
        (empty, "no safetensors file"),
        (pickled, "no safetensors file"),
        (of_another_model, "resnet14 differs"),
        (a_folder, "--load-weights"),
        (Path.unlink, "o such file"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_unsound_file_is_refused_in_one_line_before_anything_is_written(
    damage: Callable[[Path], None],
    told: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    file, out = tmp_path / "weights.safetensors", tmp_path / "run"
    save(file, initial_weights(RESNET14, 0))
    damage(file)
    code = main(["run", "--impl", "torch_module", "--load-weights", str(file), "--out", str(out)])
    assert code == 2
    [line] = capfd.readouterr().err.splitlines()
    assert told in line
    assert str(file) in line
    assert not out.exists()


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    weights = initial_weights(RESNET14, 3)
    save(tmp_path / "a" / "weights.safetensors", weights)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["weights.safetensors"]
    loaded = load(tmp_path / "a" / "weights.safetensors", RESNET14)
    assert list(loaded) == list(weights)
    assert fingerprint(loaded) == fingerprint(weights)
