"""The ONNX graph by TensorRT, as ONNX Runtime's provider of it builds and runs an engine.

Not yet run by the project on a GPU.
"""

from resnet_impls import onnxruntime_engine


class Implementation(onnxruntime_engine.Implementation):
    provider = "TensorrtExecutionProvider"

    def provider_options(self, precision: str) -> dict[str, str]:
        """Of TensorRT's provider; NVIDIA_TF32_OVERRIDE forbids TF32 where it is not the precision.

        An engine computes in the types of its graph where it is told of no others.
        """
        return {"trt_fp16_enable": str(int(precision == "fp16"))}
