"""The network of `torch_export` by TensorRT, as Torch-TensorRT compiles it: inference only.

Not yet run by the project on a GPU.
"""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
import torch_tensorrt
from torch import Tensor

from resnet_impls import torch_export

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Implementation(torch_export.Implementation):
    def to_device(self, images: np.ndarray) -> Tensor:
        """Channels first in memory, since an engine copies any other before each call."""
        return super().to_device(images).contiguous().to(HALVES.get(self.precision, self.dtype))

    def require_compiler(self) -> None:
        """The import of `torch_tensorrt` has found all that there is to need."""

    def compiled(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """The network compiled for batches like `x`: an engine keeps to the types of a network."""
        model = deepcopy(self.model).to(x.dtype, memory_format=torch.contiguous_format)
        with torch.no_grad():
            return torch_tensorrt.dynamo.compile(
                torch.export.export(model, (x,)),
                arg_inputs=(x,),
                disable_tf32=self.precision != "tf32",
                require_full_compilation=True,  # else PyTorch computes what TensorRT cannot
            )

    def settings(self) -> dict[str, str]:
        found = super().settings() | {"layout": "channels_first/OIHW", "jit": "tensorrt"}
        return found | {"engine": f"Torch-TensorRT {torch_tensorrt.__version__}"}
