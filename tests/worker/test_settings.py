"""The effective settings of a real worker."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from bench.cells import Cell
from bench.parent.child import Child, Failure
from bench.reports.sections.effective_settings import unfair
from bench.worker import settings as effective
from bench.worker.environment import Environment, stated
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


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Switches of compilers and of precision, and a user's configuration of Keras."""
    for name, value in {
        "TORCHDYNAMO_DISABLE": "1",
        "JAX_DISABLE_JIT": "1",
        "JAX_ENABLE_X64": "1",
        "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
        "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
        "HOME": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".keras").mkdir()
    own = '{"image_data_format": "channels_first", "floatx": "float16"}'
    (tmp_path / ".keras" / "keras.json").write_text(own)


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("name", EXPECTED)
def test_a_framework_tells_its_threads_and_what_it_computes_in_whatever_a_user_has_set(
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


OWN_SWITCH = """\
import os
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "")
{switch}
from resnet_impls.{name} import Implementation
"""
SWITCHED = {
    "torch_module": ("import torch._dynamo; torch._dynamo.config.disable = True", "none"),
    "flax_nnx": ("os.environ['JAX_DISABLE_JIT'] = '1'", "none"),
    "tensorflow_module": (
        "os.environ['TF_XLA_FLAGS'] = '--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit'",
        "xla",
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("name", SWITCHED)
def test_the_compiler_is_read_back_and_not_repeated(
    name: str, settings: Settings, tmp_path: Path
) -> None:
    switch, jit = SWITCHED[name]
    path = tmp_path / "switched.py"
    path.write_text(OWN_SWITCH.format(switch=switch, name=name))
    mode = "graph" if jit == "xla" else "compiled"
    found = settings(path, mode=mode, optimizer="sgd", batch_size=8, threads=1)
    assert found["jit"] == jit


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "backend", "jit"),
    [
        ("torch_module", "torch", "inductor"),
        ("keras_functional", "torch", "inductor"),
        ("tensorflow_module", "tensorflow", "xla"),
        ("keras_functional", "tensorflow", "xla"),
        ("keras_functional", "jax", "xla"),
    ],
)
@pytest.mark.usefixtures("hostile")
def test_a_compiled_mode_is_compiled_whatever_a_user_has_set(
    name: str, backend: str, jit: str, settings: Settings
) -> None:
    found = settings(
        name, implementation=name, backend=backend, mode="compiled", batch_size=8, threads=1
    )
    assert found["jit"] == jit


@pytest.mark.long
def test_keras_eager_on_jax_is_not_taken_for_compiled(settings: Settings) -> None:
    cell = {"implementation": "keras_functional", "backend": "jax", "mode": "eager"}
    assert settings("keras_functional", **cell, batch_size=8, threads=1)["jit"] == "none"


def test_flags_that_change_the_threads_are_named_and_no_file_is_blamed(
    settings: Settings, make_cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
    cell = {"implementation": "flax_nnx", "backend": "jax", "mode": "compiled", "threads": 1}
    cell |= {"workload": "infer", "optimizer": None, "recipe": None, "batch_size": 8}
    found = settings("flax_nnx", **cell)
    found["environment"] = stated(Environment.of(make_cell(Path("flax_nnx"), **cell)).users())
    [said] = unfair({make_cell(Path("flax_nnx"), **cell): found})
    assert found["threads"] != "1"
    assert said.endswith("unset XLA_FLAGS=--xla_force_host_platform_device_count=8")


@pytest.mark.long
def test_a_flag_that_xla_does_not_know_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_enable_telepathy=1")
    cell = {"implementation": "flax_nnx", "backend": "jax", "mode": "compiled"}
    with pytest.raises(Failure, match="XLA_FLAGS: --xla_gpu_enable_telepathy"):
        settings("flax_nnx", **cell)


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
    file = ModuleType("a_users_file")
    monkeypatch.setitem(sys.modules, file.__name__, file)
    implementation = type("Implementation", (), {"__module__": file.__name__})()

    def engine(**changes: object) -> str | None:
        return effective.engine_of(make_cell(**changes), implementation)

    modules = {name: ModuleType(name) for name in effective.ENGINES}
    for name in modules:
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert engine() is None
    monkeypatch.setitem(sys.modules, "jax", modules["jax"])
    assert engine() == "jax"
    monkeypatch.setitem(sys.modules, "tensorflow", modules["tensorflow"])
    assert engine() is None  # which of the two computes, nobody knows
    monkeypatch.setattr(file, "tf", modules["tensorflow"], raising=False)
    assert engine() == "tensorflow"  # which has imported JAX
    jit = type("jit", (), {"__module__": "jax._src.api"})
    monkeypatch.setattr(file, "jit", jit, raising=False)
    assert engine() is None
    assert engine(backend="jax") == "jax"
    assert engine(implementation="litert_engine", backend="litert") is None


@pytest.mark.parametrize(
    ("flags", "commands", "autotune"),
    [
        ("", "default", "on"),
        ("--xla_gpu_enable_command_buffer=", "none", "on"),
        ("--xla_gpu_autotune_level=0 --xla_gpu_enable_command_buffer=FUSION", "FUSION", "off"),
    ],
)
def test_what_xla_was_told_of_a_gpu_is_read_from_its_flags(
    flags: str, commands: str, autotune: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import jax

    jax.devices("cpu")  # XLA reads its flags but once
    monkeypatch.setenv("XLA_FLAGS", flags)
    found = effective.jax("cuda")
    assert (found["command_buffers"], found["cudnn_autotune"]) == (commands, autotune)
