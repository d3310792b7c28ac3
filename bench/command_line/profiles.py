"""How much a run measures, by one word."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """How much to measure when the command line does not say."""

    steps: int
    replicates: int
    cap: int  # steps of train-to at most
    batch_size: int = 64
    all_modes: bool = False


PROFILES = {
    "smoke": Profile(steps=4, replicates=1, cap=4),
    "quick": Profile(steps=72, replicates=3, cap=300, batch_size=32),
    "standard": Profile(steps=400, replicates=5, cap=1000),
    "full": Profile(steps=400, replicates=7, cap=1000, all_modes=True),
}
