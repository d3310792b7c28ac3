"""What exists: one row per implementation. Imports no framework, so listing costs nothing.

To add a framework, add its file to this folder and its row to `CATALOGUE`.
"""

from dataclasses import dataclass, replace

from resnet_impls.architecture import ARCHITECTURES
from resnet_impls.devices import having


@dataclass(frozen=True)
class Parallel:
    """How an engine trains data-parallel: the module that does, and what it has of the engine's."""

    module: str
    modes: tuple[str, ...]
    batch_norms: tuple[str, ...] = ("synchronised", "per-replica")


@dataclass(frozen=True)
class Backend:
    """One engine that an implementation runs on, and what it can be asked for there.

    The first of `modes` is the default. Modes say what the framework does with a step:
    `eager` dispatches operations one by one from Python, `graph` runs TensorFlow's
    `tf.function` graph, `compiled` hands the whole step to a compiler (Inductor, XLA) or to an
    engine that prepares the whole network (ONNX Runtime, OpenVINO, LiteRT), `reduce-overhead` and
    `max-autotune` are Inductor's own modes, and `cuda-graph` captures a whole step of `eager`'s
    kernels once (`cuda-graph-compiled`: of Inductor's, XLA's or an engine's) and replays them by
    one launch. A device may lack modes and precisions (`devices.py`); those in `anyway` run there
    nonetheless.
    """

    name: str
    packages: tuple[str, ...]  # distributions that must be installed; the framework comes first
    modes: tuple[str, ...]
    precisions: tuple[str, ...] = ("fp32", "tf32", "bf16", "fp16")
    devices: tuple[str, ...] = ("cpu", "cuda")
    anyway: tuple[str, ...] = ()
    exact: str = "fp64"  # the most exact precision that it computes in: it proves the semantics
    parallel: Parallel | None = None


TRAINED = ("train", "infer", "train+input", "train-to")
STREAMED = ("infer", "infer-streams")


@dataclass(frozen=True)
class Implementation:
    """One way of writing the network: a module of this package, or a file of the user's."""

    name: str
    framework: str
    backends: tuple[Backend, ...]
    module: str  # dotted name, or the path of a Python file
    models: tuple[str, ...] = tuple(ARCHITECTURES)
    workloads: tuple[str, ...] = TRAINED
    opt_in: bool = False  # runs where it is named; `all` leaves it out
    title: str = ""  # what people call it, where that is not the framework's name

    def workloads_on(self, backend: Backend) -> tuple[str, ...]:
        """What it can be asked for on one of its backends."""
        return (*self.workloads, *(["train-dp"] if backend.parallel else []))

    @property
    def known_as(self) -> str:
        """`Keras functional`: what people call it, and no other row of the catalogue."""
        return self.title or self.framework


_PYTORCH, _TENSORFLOW, _JAX = having("torch"), having("tensorflow"), having("jax")
_KERAS = (
    Backend("tensorflow", ("keras", "tensorflow"), ("graph", "compiled"), devices=_TENSORFLOW),
    Backend("jax", ("keras", "jax"), ("compiled", "eager"), devices=_JAX),
    Backend("torch", ("keras", "torch"), ("eager", "compiled"), devices=_PYTORCH),
)
_KERAS_PARALLEL = {
    "jax": Parallel("resnet_impls.keras_parallel", ("compiled",), ("synchronised",)),
}
_TORCH_MODES = (
    *("eager", "compiled", "reduce-overhead", "max-autotune"),
    *("cuda-graph", "cuda-graph-compiled"),
)

CATALOGUE: dict[str, Implementation] = {
    row.name: row
    for row in (
        Implementation(
            "torch_module",
            "PyTorch",
            (
                Backend(
                    *("torch", ("torch",), _TORCH_MODES),
                    devices=_PYTORCH,
                    parallel=Parallel("resnet_impls.torch_parallel", ("eager",)),
                ),
            ),
            "resnet_impls.torch_module",
            workloads=(*TRAINED, "infer-streams"),
        ),
        Implementation(
            "torchvision_model",
            "torchvision",
            (Backend("torch", ("torch", "torchvision"), _TORCH_MODES, devices=_PYTORCH),),
            "resnet_impls.torchvision_model",
            models=("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
            workloads=(*TRAINED, "infer-streams"),
        ),
        Implementation(
            "tensorflow_module",
            "TensorFlow",
            (
                Backend(
                    *("tensorflow", ("tensorflow",), ("graph", "compiled")),
                    devices=_TENSORFLOW,
                    parallel=Parallel("resnet_impls.tensorflow_parallel", ("graph",)),
                ),
            ),
            "resnet_impls.tensorflow_module",
        ),
        Implementation(
            "flax_nnx",
            "Flax",
            (
                Backend(
                    *("jax", ("flax", "optax", "jax"), ("compiled", "cuda-graph-compiled")),
                    devices=_JAX,
                    parallel=Parallel("resnet_impls.flax_parallel", ("compiled",)),
                ),
            ),
            "resnet_impls.flax_nnx",
            title="Flax NNX",
        ),
        Implementation(
            "keras_sequential",
            "Keras",
            _KERAS,
            "resnet_impls.keras_sequential",
            title="Keras Sequential",
        ),
        Implementation(
            "keras_functional",
            "Keras",
            tuple(replace(b, parallel=_KERAS_PARALLEL.get(b.name)) for b in _KERAS),
            "resnet_impls.keras_functional",
            title="Keras functional",
        ),
        Implementation(
            "keras_subclass",
            "Keras",
            _KERAS,
            "resnet_impls.keras_subclass",
            title="Keras subclass",
        ),
        Implementation(  # not stock Keras, so not among what `all` compares
            "keras_fused",
            "Keras",
            tuple(backend for backend in _KERAS if backend.name != "jax"),
            "resnet_impls.keras_fused",
            opt_in=True,
            title="Keras fused",
        ),
        Implementation(
            "torch_export",
            "PyTorch",
            (Backend("torch", ("torch",), ("compiled", "cuda-graph-compiled")),),
            "resnet_impls.torch_export",
            workloads=("infer",),
            title="PyTorch AOTInductor",
        ),
        Implementation(
            "onnxruntime_engine",
            "ONNX Runtime",
            (
                Backend(
                    "onnxruntime",
                    ("onnxruntime", "onnx"),
                    ("compiled", "cuda-graph-compiled"),
                    ("fp32", "tf32", "fp16"),
                    exact="fp32",
                ),
            ),
            "resnet_impls.onnxruntime_engine",
            workloads=STREAMED,
        ),
        Implementation(  # it builds its engine for minutes, so it runs where it is named
            "tensorrt_engine",
            "ONNX Runtime",
            (
                Backend(
                    "onnxruntime",
                    ("onnxruntime", "onnx", "tensorrt"),
                    ("compiled",),
                    ("fp32", "tf32", "fp16"),
                    ("cuda",),
                    exact="fp32",
                ),
            ),
            "resnet_impls.tensorrt_engine",
            workloads=("infer",),
            opt_in=True,
            title="TensorRT",
        ),
        Implementation(  # the same engine by another way, and as long in the building
            "torch_tensorrt_engine",
            "PyTorch",
            (
                Backend(
                    "torch",
                    ("torch", "torch-tensorrt"),
                    ("compiled",),
                    devices=("cuda",),
                    exact="fp32",
                ),
            ),
            "resnet_impls.torch_tensorrt_engine",
            workloads=("infer",),
            opt_in=True,
            title="Torch-TensorRT",
        ),
        Implementation(
            "openvino_engine",
            "OpenVINO",
            (
                Backend(
                    "openvino",
                    ("openvino",),
                    ("compiled",),
                    ("fp32", "bf16", "fp16"),
                    ("cpu",),
                    anyway=("fp16",),  # new Xeons have instructions for it
                    exact="fp32",
                ),
            ),
            "resnet_impls.openvino_engine",
            workloads=STREAMED,
        ),
        Implementation(
            "litert_engine",
            "LiteRT",
            (
                Backend(
                    "litert",
                    ("ai-edge-litert", "tensorflow"),  # the latter writes the model
                    ("compiled",),
                    ("fp32",),
                    ("cpu",),
                    exact="fp32",
                ),
            ),
            "resnet_impls.litert_engine",
            workloads=("infer",),
        ),
        Implementation(
            "article_torch",
            "PyTorch",
            (Backend("torch", ("torch",), ("eager",), ("fp32",)),),
            "resnet_impls.article_torch",
            models=("resnet14",),
            opt_in=True,
            title="Article's PyTorch",
        ),
        Implementation(
            "article_keras",
            "Keras",
            tuple(replace(b, precisions=("fp32",), modes=b.modes[:1]) for b in _KERAS),
            "resnet_impls.article_keras",
            models=("resnet14",),
            opt_in=True,
            title="Article's Keras",
        ),
    )
}
