"""The effective settings of a real worker."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cells import Cell
from bench.parent.child import Child
from bench.worker import settings as effective
from bench.worker.protocol import Build, WarmUp

StartChild = Callable[..., tuple[Child, Build]]
Settings = Callable[..., dict[str, str]]


@pytest.fixture
def settings(start_child: StartChild) -> Settings:
    """The effective settings of a cell after one step."""

    def read(path: Path | str, **changes: object) -> dict[str, str]:
        child, build = start_child(Path(path), **changes)
        child.ask(build, 300)
        return child.ask(WarmUp(steps=0), 300).settings

    return read


EXPECTED = {
    "torch_module": {
        "layout": "channels_last/OHWI",
        "computation": "bfloat16",
        "optimizer": "Adam fused",
        "jit": "none",
    },
    "tensorflow_module": {"computation": "bfloat16", "optimizer": "Adam fused", "jit": "none"},
    "flax_nnx": {"computation": "bfloat16", "optimizer": "adam", "jit": "xla"},
    "keras_functional[torch]": {
        "layout": "channels_last/HWIO",
        "computation": "bfloat16",
        "optimizer": "Adam",
        "jit": "none",
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_framework_tells_its_threads_and_what_it_computes_in(
    name: str, settings: Settings
) -> None:
    implementation, _, backend = name.removesuffix("]").partition("[")
    engines = {"torch_module": "torch", "tensorflow_module": "tensorflow", "flax_nnx": "jax"}
    found = settings(
        implementation,
        implementation=implementation,
        backend=backend or engines[implementation],
        mode={"flax_nnx": "compiled", "tensorflow_module": "graph"}.get(implementation, "eager"),
        optimizer="adam",
        precision="bf16",
        batch_size=8,
        threads=1,
    )
    assert found.items() >= EXPECTED[name].items()
    assert (found["threads"], found["cpus"], found["parameters"]) == ("1", "1", "float32")


def test_a_file_without_the_method_has_the_settings_of_its_process(
    fake: Path, settings: Settings
) -> None:
    found = settings(fake)
    assert found.keys() == {"cpus", "malloc"}
    assert found["malloc"] == "keeps freed"


def test_a_files_own_settings_are_text_and_an_unused_optimizer_is_none(
    faulty: Callable[[str, str], Path], settings: Settings
) -> None:
    body = "def settings(self): return {'blocks': np.int64(3), 'optimizer': 'x', 'jit': ''}"
    path = faulty("tells", body)
    assert settings(path).items() >= {"blocks": "3", "optimizer": "x"}.items()
    inferring = settings(path, workload="infer", optimizer=None, recipe=None)
    assert inferring["blocks"] == "3"
    assert not {"optimizer", "jit"} & inferring.keys()


def test_the_engine_of_a_users_file_is_the_one_that_it_has_imported(
    make_cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in effective.ENGINES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert effective.engine_of(make_cell()) is None
    monkeypatch.setitem(sys.modules, "jax", sys)
    assert effective.engine_of(make_cell()) == "jax"
    monkeypatch.setitem(sys.modules, "torch", sys)
    assert effective.engine_of(make_cell()) is None  # which of the two computes, nobody knows
