"""How much a run measures, by one word."""

from collections.abc import Iterable
from dataclasses import dataclass

from resnet_impls.architecture import ARCHITECTURES


@dataclass(frozen=True)
class Load:
    """What a cell runs: optimizer steps or passes, and images in each."""

    steps: int
    batch_size: int


@dataclass(frozen=True)
class Profile:
    """How much to measure when the command line does not say."""

    replicates: int
    cap: int  # steps of train-to at most
    cpu: Load
    cuda: Load
    all_modes: bool = False

    def load(self, devices: Iterable[str], models: Iterable[str]) -> Load:
        """One for all devices of a run, whose cells are compared; a GPU's takes a CPU hours."""
        if set(devices) != {"cuda"}:
            return self.cpu
        large = any(name in ARCHITECTURES and ARCHITECTURES[name].max_pool for name in models)
        return Load(self.cuda.steps, self.cpu.batch_size) if large else self.cuda


PROFILES = {
    "smoke": Profile(replicates=1, cap=4, cpu=Load(4, 64), cuda=Load(4, 64)),
    "quick": Profile(replicates=3, cap=300, cpu=Load(72, 32), cuda=Load(1000, 256)),
    "standard": Profile(replicates=5, cap=1000, cpu=Load(400, 64), cuda=Load(4000, 256)),
    "full": Profile(
        replicates=7, cap=1000, cpu=Load(400, 64), cuda=Load(4000, 256), all_modes=True
    ),
}
