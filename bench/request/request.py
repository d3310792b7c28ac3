"""Request: everything that was asked for. `run.json` keeps it under `options`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bench.validation import Count, Positive, PositiveInt


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a run is to measure; None stands for what was left open, or is not known of an old run.

    `profiles.fill` fills in what was left open, by the profile and the machine.
    """

    impl: tuple[str, ...] | None = None  # None: what is installed, by `installed.implementations`
    impl_named: bool = True  # False: `impl` was filled in, and nothing in it is missed
    mode: tuple[str, ...] | None = None  # None: each backend's default
    model: tuple[str, ...] = ("resnet14",)
    workload: tuple[str, ...] | None = None  # None: train and infer, of what only infers the latter
    device: tuple[str, ...] | None = None
    precision: tuple[str, ...] = ("fp32",)
    batch_size: tuple[PositiveInt | Literal["max"], ...] | None = None
    optimizer: tuple[str, ...] = ("adam",)
    weight_decay: Positive | None = None  # None: the optimizer's default
    recipe: str = "constant"
    schedule: str = "constant"  # constant: as the recipe says
    label_smoothing: Positive | None = None  # None: none
    dataset: str = "digits"
    seed: Count = 0
    load_weights: str | None = None  # a file
    steps: PositiveInt | None = None
    threads: tuple[PositiveInt, ...] | None = None
    all_modes: bool = False  # where `mode` is None: all that the device may have
    input: tuple[str, ...] = ("native",)
    target_accuracy: Positive | None = None  # fraction of the test images, 0 to 1
    evaluate_every: PositiveInt | None = None
    streams: tuple[PositiveInt, ...] | None = None  # of infer-streams
    world_size: tuple[PositiveInt, ...] | None = None  # of train-dp
    batch_norm: tuple[str, ...] = ("synchronised",)  # of train-dp
    cap: PositiveInt | None = None  # steps of train-to at most; None: `steps`
    certify: bool = True
    save_weights: bool = False
    share_compile_cache: bool = False  # among the processes of a cell
    replicates: PositiveInt | None = None  # processes per cell
    precision_target: Positive | None = None  # half width of intervals, 0.01: ±1 %
    max_replicates: PositiveInt | None = None
    remeasure_busy: Count = 0  # times that a replicate of a contest is measured again at most
    data_dir: str | None = None
    # Largest batches that were found, by the cell that asked for one; 0: not even one image fits
    largest_batches: Mapping[str, Count] = field(default_factory=dict)
    # Further matrices of the same run; what is of the whole run, as `replicates`, is equal in all
    also: tuple["Request", ...] = ()

    @property
    def matrices(self) -> tuple["Request", ...]:
        """Each matrix of the run alone, this one first."""
        return (replace(self, also=()), *self.also)

    def every(self, **changes: Any) -> "Request":
        """This request with fields changed in each of its matrices."""
        return replace(self, **changes, also=tuple(replace(each, **changes) for each in self.also))

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices of all matrices, each once; none where that is still open."""
        named = (name for each in self.matrices for name in each.device or ())
        return tuple(dict.fromkeys(named))
