"""The matrix of cells that a command line asks for, and what keeps a cell from running."""

import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from bench import obstacles
from bench.cells import Cell
from bench.errors import UsageError
from bench.executables import backend, implementation
from bench.obstacles import obstacle
from bench.request.matrix import cells_of, contenders
from bench.request.request import Request
from resnet_impls.catalogue import CATALOGUE, Backend, Implementation


def cells(**changes: Any) -> list[Cell]:
    """The matrix of one small cell of torch_module, with other choices where given."""
    choices: dict[str, Any] = {
        "impl": ["torch_module"],
        "workload": ["train"],
        "device": ["cpu"],
        "batch_size": [64],
        "steps": 100,
    }
    return cells_of(Request(**choices | changes))


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text("class Implementation: ...\n")
    return file


def test_the_matrix_is_every_combination() -> None:
    found = cells(impl=["torch_module", "keras_functional[jax]"], batch_size=[8, 16, 32])
    assert {(cell.implementation, cell.batch_size) for cell in found} == {
        (name, size) for name in ("torch_module", "keras_functional") for size in (8, 16, 32)
    }
    assert len(found) == 6


def test_what_is_asked_for_twice_is_one_cell() -> None:
    assert cells(impl=["torch_module", "torch_module"], batch_size=[8, 8]) == cells(batch_size=[8])


def test_optimizers_do_not_multiply_cells_that_train_nothing() -> None:
    found = cells(workload=["train", "infer"], optimizer=["adam", "sgd"])
    assert [(cell.workload, cell.optimizer) for cell in found] == [
        ("train", "adam"),
        ("train", "sgd"),
        ("infer", None),
    ]


def test_only_what_is_trained_has_a_learning_rate() -> None:
    train, infer = cells(workload=["train", "infer"])
    assert train.learning_rate == 1e-3
    assert infer.learning_rate is None


@pytest.mark.parametrize("row", CATALOGUE.values(), ids=lambda row: row.name)
def test_the_default_mode_is_the_first_of_each_backend(row: Implementation) -> None:
    modes = {cell.backend: cell.mode for cell in cells(impl=[row.name])}
    assert modes == {backend.name: backend.modes[0] for backend in row.backends}


def test_all_modes_are_all_that_the_device_may_have() -> None:
    assert [cell.mode for cell in cells(all_modes=True)] == ["eager", "compiled"]
    everywhere = cells(all_modes=True, device=["cpu", "cuda"])
    assert {cell.mode for cell in everywhere if cell.device == "cuda"} == {
        *("eager", "compiled", "reduce-overhead", "max-autotune"),
        *("cuda-graph", "cuda-graph-compiled"),
    }


def test_a_named_mode_is_asked_of_every_backend() -> None:
    found = cells(impl=["keras_functional"], mode=["graph"], all_modes=True)
    assert [cell.mode for cell in found] == ["graph"] * len(CATALOGUE["keras_functional"].backends)


def test_brackets_name_one_backend() -> None:
    (cell,) = cells(impl=["keras_functional[jax]"])
    assert (cell.implementation, cell.backend) == ("keras_functional", "jax")


def test_all_is_every_backend_of_every_row_that_is_not_opt_in() -> None:
    found = [(row.name, backend.name) for row, backend in contenders(["all"])]
    rows = [row for row in CATALOGUE.values() if not row.opt_in]
    assert found == [(row.name, b.name) for row in rows for b in row.backends]


@pytest.mark.parametrize(
    ("choice", "given", "suggestion"),
    [
        ({"impl": ["torch_modul"]}, "torch_modul", "torch_module"),
        ({"impl": ["keras_functional[pytorch]"]}, "pytorch", "torch"),
        ({"model": ["resnet-50"]}, "resnet-50", "resnet50"),
    ],
)
def test_an_unknown_name_is_given_back_with_a_suggestion(
    choice: dict[str, list[str]], given: str, suggestion: str
) -> None:
    with pytest.raises(UsageError) as error:
        cells(**choice)
    assert f"{given!r} (did you mean {suggestion!r}?)" in str(error.value)


def test_an_unknown_name_that_resembles_none_lists_what_there_is() -> None:
    with pytest.raises(UsageError) as error:
        cells(impl=["xyz"])
    assert "'xyz': choose from" in str(error.value)
    assert all(name in str(error.value) for name in CATALOGUE)


def test_a_users_file_is_an_implementation(users_file: Path) -> None:
    (cell,) = cells(impl=[str(users_file)])
    assert implementation(cell.implementation).module == str(users_file)
    assert cell.label == "mine eager"
    assert obstacle(cell) is None


def test_a_users_relative_path_is_the_same_cell_from_any_folder(
    users_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(users_file.parent)
    assert cells(impl=["mine.py", str(users_file)]) == cells(impl=[str(users_file)])


def test_a_users_file_may_be_called_like_a_row_of_the_catalogue(users_file: Path) -> None:
    copy = users_file.rename(users_file.with_name("torch_module.py"))
    (cell,) = cells(impl=[str(copy)])
    assert implementation(cell.implementation).module == str(copy)


def test_the_path_of_a_users_file_may_hold_brackets(users_file: Path) -> None:
    folder = users_file.parent / "try[1]"
    folder.mkdir()
    moved = users_file.rename(folder / "mine.py")
    (cell,) = cells(impl=[str(moved)])
    assert implementation(cell.implementation).module == str(moved)


def test_a_users_file_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"nowhere/mine\.py"):
        cells(impl=["nowhere/mine.py"])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"mode": "graph"}, "no mode graph, only eager, compiled"),
        ({"precision": "fp64"}, "no precision fp64, only fp32"),
        ({"precision": "fp16"}, "fp16 is for GPUs"),
        ({"mode": "reduce-overhead"}, "CUDA graphs; a CPU has none"),
        ({"mode": "max-autotune"}, "CUDA graphs; a CPU has neither"),
        ({"device": "tpu"}, "no device tpu"),
        ({"precision": "tf32"}, "tf32"),
    ],
)
def test_what_a_backend_cannot_do_is_unsupported(changes: dict[str, str], named: str) -> None:
    (cell,) = cells()
    found = obstacle(replace(cell, **changes))  # type: ignore[arg-type]
    assert found is not None
    assert found[0] == "unsupported"
    assert named in found[1]


@pytest.mark.parametrize("change", [{"precision": "fp16"}, {"mode": "max-autotune"}])
def test_what_only_a_gpu_can_do_is_possible_there(change: dict[str, str]) -> None:
    (cell,) = cells(device=["cuda"])
    assert obstacle(replace(cell, **change)) is None  # type: ignore[arg-type]


def test_the_author_of_a_file_may_take_fp16_on_a_cpu(users_file: Path) -> None:
    (cell,) = cells(impl=[str(users_file)], precision=["fp16"])
    assert obstacle(cell) is None


def test_a_package_that_is_not_installed_makes_a_cell_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = Backend("absent", ("numpy", "no-such-framework"), ("eager",))
    row = Implementation("absent_module", "Absent", (backend,), "resnet_impls.absent_module")
    monkeypatch.setitem(CATALOGUE, row.name, row)
    (cell,) = cells(impl=[row.name])
    assert obstacle(cell) == ("unavailable", "not installed: no-such-framework")


@pytest.mark.parametrize(
    ("name", "package"),
    [("tensorrt_engine", "tensorrt"), ("torch_tensorrt_engine", "torch-tensorrt")],
)
def test_an_engine_of_a_gpu_is_a_row_with_its_reason_elsewhere(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(obstacles, "installed", lambda asked: None if asked == package else "1")
    (cell,) = cells(impl=[name], workload=["infer"], device=["cuda"])
    assert obstacle(cell) == ("unavailable", f"not installed: {package}")
    reason = f"{name} on {cell.backend} has no device cpu, only cuda"
    assert obstacle(replace(cell, device="cpu")) == ("unsupported", reason)


def test_cells_compete_where_all_but_the_contender_is_equal() -> None:
    ours, theirs, larger = cells(impl=["torch_module", "keras_functional[jax]"]) + cells(
        batch_size=[128]
    )
    assert ours.contest == theirs.contest
    assert ours.contest != larger.contest


def test_two_implementations_of_one_name_are_refused(users_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / users_file.name
    other.parent.mkdir()
    other.write_text(users_file.read_text())
    with pytest.raises(UsageError, match="two are called mine; rename a file"):
        cells(impl=[str(users_file), str(other)])
    assert len(cells(impl=[str(users_file), str(users_file)])) == 1


def test_a_link_to_a_users_file_is_called_as_it_is_named(users_file: Path) -> None:
    link = users_file.with_name("current.py")
    link.symlink_to(users_file.name)
    (cell,) = cells(impl=[str(link)])
    assert cell.label == "current eager"
    assert cell.implementation == str(link)
    assert backend(cell).name == "current"
    assert obstacle(cell) is None
    target = users_file.rename(users_file.with_suffix(""))  # a target may be called anything
    link.unlink()
    link.symlink_to(target.name)
    assert cells(impl=[str(link)]) == [cell]


def test_a_file_whose_name_no_result_can_hold_is_refused(users_file: Path) -> None:
    file = users_file.with_name("caf\udce9.py")
    try:
        users_file.rename(file)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    with pytest.raises(UsageError, match=r"caf\\udce9\.py: is not UTF-8; rename it"):
        cells(impl=[str(file)])


def test_a_label_names_a_backend_only_where_there_is_a_choice() -> None:
    ours, theirs = cells(impl=["torch_module", "keras_functional[jax]"])
    assert ours.label == "torch_module eager"
    assert theirs.label == "keras_functional[jax] compiled"


def test_a_contest_label_states_what_is_shared() -> None:
    train, infer = cells(workload=["train", "infer"])
    assert train.contest_label == "train resnet14 cpu fp32 batch 64 adam digits 100 steps"
    assert infer.contest_label == "infer resnet14 cpu fp32 batch 64 digits 100 steps"


def test_cells_of_different_threads_do_not_compete_and_their_labels_tell_why() -> None:
    one, two, unknown = (cells(threads=[threads])[0] for threads in (1, 2, None))
    assert len({cell.contest for cell in (one, two, unknown)}) == 3
    assert one.contest_label == "train resnet14 cpu 1 thread fp32 batch 64 adam digits 100 steps"
    assert two.contest_label == "train resnet14 cpu 2 threads fp32 batch 64 adam digits 100 steps"
    assert "thread" not in unknown.contest_label


def test_a_cell_survives_as_json_ready_values() -> None:
    (cell,) = cells(workload=["infer"])
    assert Cell(**cell.as_dict()) == cell


def test_contenders_have_the_names_that_people_use_and_no_two_the_same() -> None:
    found = [
        cell
        for row in CATALOGUE.values()
        for engine in row.backends
        for mode in engine.modes
        for cell in cells(impl=[f"{row.name}[{engine.name}]"], mode=[mode])
    ]
    names = {cell.label: cell.known_as for cell in found}
    assert names["torch_module eager"] == "PyTorch eager"
    assert names["torchvision_model compiled"] == "torchvision compiled"
    assert names["keras_functional[jax] compiled"] == "Keras functional on JAX"
    assert names["keras_functional[jax] eager"] == "Keras functional on JAX eager"
    assert names["onnxruntime_engine compiled"] == "ONNX Runtime"
    assert len(set(names.values())) == len(names)


def test_a_users_file_has_nobody_elses_name(users_file: Path) -> None:
    (cell,) = cells(impl=[str(users_file)], mode=["compiled"])
    assert cell.known_as == "mine.py compiled"
    named = replace(cell, implementation=str(users_file.with_name("PyTorch.py")), mode="eager")
    assert named.known_as != cells(mode=["eager"])[0].known_as


def test_a_cell_that_another_process_is_sent_keeps_no_hash_of_this_one() -> None:
    [sent] = cells()
    assert hash(sent) == hash(cells()[0])
    received = pickle.loads(pickle.dumps(sent))
    assert received == sent
    assert vars(received).keys() == {field.name for field in fields(Cell)}
