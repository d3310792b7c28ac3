"""CUDA graphs of PyTorch: the kernels of a call are captured once and replayed by one launch."""

from collections.abc import Callable

import torch
from torch import Tensor

MIB = 1024**2
Call = Callable[..., Tensor]
Replay = Callable[[], None]


class Graph:
    """`call` as a graph. For each shape of its inputs it first runs as it is, when libraries
    choose their kernels and an optimizer makes its state. The second call captures it.

    A captured call reads and writes the memory that it was captured with. So inputs are copied
    there, and what it returns is a copy.
    """

    def __init__(self, call: Call, capture: Callable[..., tuple[Tensor, Replay]] | None = None):
        self.call = call
        self.capture = capture or self.captured
        self.shapes: list[torch.Size] = []
        self.inputs: tuple[Tensor, ...] = ()
        self.program_mib: float | None = None  # memory that the graph has for itself

    def __call__(self, *inputs: Tensor) -> Tensor:
        shapes = [x.shape for x in inputs]
        if shapes != self.shapes:
            self.shapes, self.inputs = shapes, ()
            return self.beside(inputs)
        if not self.inputs:
            self.inputs = tuple(x.clone() for x in inputs)
            self.output, self.replay = self.capture(self.call, self.inputs)
        for static, given in zip(self.inputs, inputs, strict=True):
            static.copy_(given)
        self.replay()
        return self.output.clone()

    def forget(self) -> None:
        """Capture anew in the next call: something has changed that a graph does not read."""
        self.inputs = ()

    def beside(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Run the call on the stream that will capture it, for which libraries keep state."""
        if not torch.cuda.is_available():  # a capture of the caller's own
            return self.call(*inputs)
        self.stream = torch.cuda.Stream()
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            output = self.call(*inputs)
        torch.cuda.current_stream().wait_stream(self.stream)
        torch.cuda.synchronize()
        return output

    def captured(self, call: Call, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Replay]:
        """The kernels of the call, in a graph with memory of its own."""
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            output = call(*inputs)
        self.program_mib = (torch.cuda.memory_reserved() - before) / MIB
        return output, graph.replay
