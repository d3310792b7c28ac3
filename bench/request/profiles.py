"""How much a run measures, by one word; and what a request leaves open, filled in."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bench.request.installed import implementations
from bench.request.request import Request
from resnet_impls.architecture import ARCHITECTURES

EVALUATE_EVERY = 10  # steps
STREAMS = (1, 2, 4)
WORLD_SIZES = (1, 2)
LARGE_GIB = 40.0  # for two workers that train resnet50 in bf16, 256 images a batch


@dataclass(frozen=True)
class Load:
    """What a cell runs: optimizer steps or passes, and images in each."""

    steps: int
    batch_size: int


@dataclass(frozen=True)
class Profile:
    """How much to measure when the request does not say."""

    replicates: int
    cap: int  # steps of train-to at most
    cpu: Load
    gpu: Load
    gpu_large: Load  # of networks for large images
    all_modes: bool = False
    every_impl: bool = False  # what `all` takes, where the request names none

    def load(
        self, devices: Iterable[str], models: Iterable[str], gpu_gib: float | None = None
    ) -> Load:
        """One for all devices of a run, whose cells are compared; a GPU's takes a CPU hours.

        A large network on a GPU with less memory than LARGE_GIB gets smaller batches.
        """
        if "cpu" in devices:
            return self.cpu
        large = any(name in ARCHITECTURES and ARCHITECTURES[name].max_pool for name in models)
        if not large:
            return self.gpu
        if gpu_gib is not None and gpu_gib < LARGE_GIB:
            return replace(self.gpu_large, batch_size=self.cpu.batch_size)
        return self.gpu_large


_SMALLEST = Load(4, 64)
PROFILES = {
    "smoke": Profile(1, cap=4, cpu=_SMALLEST, gpu=_SMALLEST, gpu_large=_SMALLEST),
    # on a GPU, blocks of a second or so: resnet14 takes it about a millisecond
    "quick": Profile(3, cap=300, cpu=Load(72, 32), gpu=Load(6000, 256), gpu_large=Load(300, 256)),
    "standard": Profile(
        5,
        cap=1000,
        cpu=Load(400, 64),
        gpu=Load(12_000, 256),
        gpu_large=Load(600, 256),
        every_impl=True,
    ),
    "full": Profile(
        7,
        cap=1000,
        cpu=Load(400, 64),
        gpu=Load(12_000, 256),
        gpu_large=Load(600, 256),
        all_modes=True,
        every_impl=True,
    ),
}


def fill(
    request: Request, profile: Profile, *, device: str, threads: int, gpu_gib: float | None = None
) -> Request:
    """`request` with what it leaves open filled in, by a profile and by the machine's defaults;
    `gpu_gib` is the memory of its GPU.

    Raises UsageError where it names no implementation and none is installed.
    """
    impl = request.impl or implementations(request.model, every=profile.every_impl)
    devices = request.device or (device,)
    load = profile.load(devices, request.model, gpu_gib)
    return replace(
        request,
        impl=impl,
        impl_named=request.impl is not None and request.impl_named,
        device=devices,
        batch_size=request.batch_size or (load.batch_size,),
        steps=request.steps or load.steps,
        cap=request.cap or request.steps or profile.cap,
        threads=request.threads or (threads,),
        evaluate_every=request.evaluate_every or EVALUATE_EVERY,
        streams=request.streams
        or (STREAMS if "infer-streams" in (request.workload or ()) else None),
        world_size=request.world_size
        or (WORLD_SIZES if "train-dp" in (request.workload or ()) else None),
        replicates=request.replicates or profile.replicates,
        all_modes=request.all_modes or profile.all_modes,
    )
