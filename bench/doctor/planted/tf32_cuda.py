"""PyTorch on a GPU that computes in TF32 under the label fp32."""

import os

os.environ.pop("NVIDIA_TF32_OVERRIDE", None)  # before the libraries that read it are loaded

from resnet_impls import torch_module
from resnet_impls.torch_loops import allow_tf32


class Implementation(torch_module.Implementation):
    def __init__(self, *arguments, precision, **options) -> None:
        super().__init__(*arguments, precision=precision, **options)
        if precision == "fp32":
            allow_tf32(True)
