"""What exists: one row per implementation. Imports no framework, so listing costs nothing.

To add a framework, add its file to this folder and its row to `CATALOGUE`.
"""

from dataclasses import dataclass, replace

from resnet_impls.architecture import ARCHITECTURES


@dataclass(frozen=True)
class Backend:
    """One engine that an implementation runs on, and what it can be asked for there.

    The first of `modes` is the default. Modes say what the framework does with a step:
    `eager` dispatches operations one by one from Python, `graph` runs TensorFlow's
    `tf.function` graph, `compiled` hands the whole step to a compiler (Inductor, XLA) or to an
    engine that prepares the whole network (ONNX Runtime, OpenVINO).
    """

    name: str
    packages: tuple[str, ...]  # distributions that must be installed; the framework comes first
    modes: tuple[str, ...]
    precisions: tuple[str, ...] = ("fp32", "tf32", "bf16")
    devices: tuple[str, ...] = ("cpu", "cuda")
    exact: str = "fp64"  # the most exact precision that it computes in: it proves the semantics


@dataclass(frozen=True)
class Implementation:
    """One way of writing the network: a module of this package, or a file of the user's."""

    name: str
    framework: str
    backends: tuple[Backend, ...]
    module: str  # dotted name, or the path of a Python file
    models: tuple[str, ...] = tuple(ARCHITECTURES)
    workloads: tuple[str, ...] = ("train", "infer")
    exhibit: bool = False  # runs where it is named; `all` leaves it out


_KERAS = (
    Backend("tensorflow", ("keras", "tensorflow"), ("graph", "compiled")),
    Backend("jax", ("keras", "jax"), ("compiled",)),
    Backend("torch", ("keras", "torch"), ("eager",)),
)

CATALOGUE: dict[str, Implementation] = {
    row.name: row
    for row in (
        Implementation(
            "torch_module",
            "PyTorch",
            (Backend("torch", ("torch",), ("eager", "compiled")),),
            "resnet_impls.torch_module",
        ),
        Implementation(
            "torchvision_model",
            "torchvision",
            (Backend("torch", ("torch", "torchvision"), ("eager", "compiled")),),
            "resnet_impls.torchvision_model",
            models=("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
        ),
        Implementation(
            "tensorflow_module",
            "TensorFlow",
            (Backend("tensorflow", ("tensorflow",), ("graph", "compiled")),),
            "resnet_impls.tensorflow_module",
        ),
        Implementation(
            "flax_nnx",
            "Flax",
            (Backend("jax", ("flax", "optax", "jax"), ("compiled",)),),
            "resnet_impls.flax_nnx",
        ),
        Implementation("keras_sequential", "Keras", _KERAS, "resnet_impls.keras_sequential"),
        Implementation("keras_functional", "Keras", _KERAS, "resnet_impls.keras_functional"),
        Implementation("keras_subclass", "Keras", _KERAS, "resnet_impls.keras_subclass"),
        Implementation(
            "torch_export",
            "PyTorch",
            (Backend("torch", ("torch",), ("compiled",)),),
            "resnet_impls.torch_export",
            workloads=("infer",),
        ),
        Implementation(
            "onnxruntime_engine",
            "ONNX Runtime",
            (
                Backend(
                    "onnxruntime",
                    ("onnxruntime", "onnx"),
                    ("compiled",),
                    ("fp32", "tf32", "fp16"),
                    exact="fp32",
                ),
            ),
            "resnet_impls.onnxruntime_engine",
            workloads=("infer",),
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
                    exact="fp32",
                ),
            ),
            "resnet_impls.openvino_engine",
            workloads=("infer",),
        ),
        Implementation(
            "article_torch",
            "PyTorch",
            (Backend("torch", ("torch",), ("eager",), ("fp32",)),),
            "resnet_impls.article_torch",
            models=("resnet14",),
            exhibit=True,
        ),
        Implementation(
            "article_keras",
            "Keras",
            tuple(replace(backend, precisions=("fp32",)) for backend in _KERAS),
            "resnet_impls.article_keras",
            models=("resnet14",),
            exhibit=True,
        ),
    )
}
