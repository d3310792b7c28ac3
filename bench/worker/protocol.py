"""Requests and answers between a parent and its workers, one type each: the only wire.

A line of JSON carries one message. Its type says what it holds and which numbers are possible, so
that an answer that lacks one, or has one that cannot be, is refused as it is read. After `Build`, a
worker answers requests about that cell. `Certify`, `Describe` and `ProbePeaks` each go to a worker
of their own.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar, cast

import msgspec

from bench.cells import Cell
from bench.executables import Executable
from bench.identity.certificate import Check
from bench.validation import Count, NotNegative, Positive, PositiveInt, parse

Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="answer"):
    """What a worker sends back."""


A = TypeVar("A", bound=Answer)


class WorkerRequest(
    msgspec.Struct, Generic[A], frozen=True, forbid_unknown_fields=True, tag_field="request"
):
    """What a parent sends; `A` is the answer to it."""

    @property
    def name(self) -> str:
        """`warm_up`, as messages and displays call it."""
        return str(self.__struct_config__.tag)


class Failed(Answer, frozen=True, tag="failed"):
    """The answer to any request that could not be met; it is the worker's last."""

    status: Literal["unavailable", "unsupported", "oom", "crashed"]
    reason: str


class Built(Answer, frozen=True, tag="built"):
    """A network that is ready, its batches on the device."""

    import_s: Positive
    build_s: Positive
    host_baseline_mib: Positive  # resident memory before the first step
    gflop_per_image: Positive
    weights_sha256: str
    data_sha256: str | None  # None where batches are drawn while training
    drawn_seed: Count  # of weights and batches
    versions: dict[str, str]  # by distribution


class Build(WorkerRequest[Built], frozen=True, tag="build"):
    """Import the framework, build the network and place the batches on the device."""

    cell: Cell
    data_folder: str
    memory_mib: Positive | None = None  # that the worker may allocate at most


class WarmedUp(Answer, frozen=True, tag="warmed_up"):
    """The first step and the warm-up, timed apart."""

    first_step_s: Positive
    warmup_s: Positive | None  # None where there were no steps but the first
    warmup_steps: Count
    step_s: Positive | None  # of its last steps
    host_mib: Positive  # resident memory, when everything has been allocated
    settings: dict[str, str]  # effective


class WarmUp(WorkerRequest[WarmedUp], frozen=True, tag="warm_up"):
    """Run the first step, where frameworks compile, and `steps` more; then go on for
    `least_s` or longer, where the number of steps changes nothing.
    """

    steps: Count
    least_s: NotNegative = 0.0


class BlockTimed(Answer, frozen=True, tag="block_timed"):
    """One block."""

    block_s: Positive
    cpu_s: NotNegative  # processor time of the worker and its helpers
    host_mib: Positive  # resident memory at its end
    device_mib: NotNegative | None = None
    wait_s: NotNegative | None = None  # for the input pipeline, within block_s
    place_s: NotNegative | None = None  # for batches to get to the device, within block_s
    left_s: NotNegative | None = None  # of the device's work after the block's end


class Block(WorkerRequest[BlockTimed], frozen=True, tag="block"):
    """Run and time `steps` steps without a pause."""

    steps: PositiveInt


class Evaluated(Answer, frozen=True, tag="evaluated"):
    """The accuracy of the present state, and the time that it took to find out."""

    accuracy: Fraction
    evaluation_s: Positive


class Evaluate(WorkerRequest[Evaluated], frozen=True, tag="evaluate"):
    """Classify the test images."""


class Finished(Answer, frozen=True, tag="finished"):
    """What the steps led to, and the most memory that they took."""

    host_peak_mib: Positive
    device_peak_mib: NotNegative | None = None
    device_reserved_mib: NotNegative | None = None
    device_program_mib: NotNegative | None = None
    compilations_while_timed: Count | None = None
    losses: tuple[float, ...] = ()  # of every step
    final_loss: float | None = None
    test_accuracy: Fraction | None = None
    data_sha256: str | None = None  # of what was fed while training


class Finish(WorkerRequest[Finished], frozen=True, tag="finish"):
    """Tell what the steps led to; save the weights where a file is given."""

    weights_file: str | None = None


class StepsTimed(Answer, frozen=True, tag="steps_timed"):
    """Single steps, each from an idle device to an idle device; of streams each request."""

    latency_ms: Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)]


class Latency(WorkerRequest[StepsTimed], frozen=True, tag="latency"):
    """Time `steps` single steps."""

    steps: PositiveInt


class Audited(Answer, frozen=True, tag="audited"):
    """Why the times that were measured cannot be true: a sentence for each reason."""

    faults: tuple[str, ...]
    communication_share: float | None = None  # of a step of several ranks; None: nothing tells


class Audit(WorkerRequest[Audited], frozen=True, tag="audit"):
    """Check that the calls wait for their work; `step_s` is the measured time of a step."""

    step_s: Positive


class Certified(Answer, frozen=True, tag="certified"):
    """All comparisons with the reference."""

    checks: Annotated[tuple[Check, ...], msgspec.Meta(min_length=1)]


class Certify(WorkerRequest[Certified], frozen=True, tag="certify"):
    """Compare an executable with the reference's solution of the problem in a file."""

    executable: Executable
    problem_file: str


class Described(Answer, frozen=True, tag="described"):
    """The shape of every tensor of a network, by its name."""

    tensors: dict[str, tuple[Count, ...]]


class Describe(WorkerRequest[Described], frozen=True, tag="describe"):
    """Build the network of an executable."""

    executable: Executable


class PeaksProbed(Answer, frozen=True, tag="peaks_probed"):
    """The fastest matrix product and copy, and the library that multiplied."""

    gflop_per_s: Positive  # in the best moment
    sustained_gflop_per_s: Positive  # over a second, when warm
    library: str
    copy_gb_per_s: Positive


class ProbePeaks(WorkerRequest[PeaksProbed], frozen=True, tag="probe_peaks"):
    """Multiply and copy as fast as anything installed can."""

    device: str
    precision: str


ANSWERS: dict[type[WorkerRequest[Any]], type[Answer]] = {
    Build: Built,
    WarmUp: WarmedUp,
    Block: BlockTimed,
    Evaluate: Evaluated,
    Finish: Finished,
    Latency: StepsTimed,
    Audit: Audited,
    Certify: Certified,
    Describe: Described,
    ProbePeaks: PeaksProbed,
}
AnyRequest = (
    Build | WarmUp | Block | Evaluate | Finish | Latency | Audit | Certify | Describe | ProbePeaks
)


def encode(message: WorkerRequest[Any] | Answer) -> bytes:
    """A message as one line of JSON, without its newline.

    Raises TypeError where it holds what JSON does not have, as a number of NumPy's.
    """
    return msgspec.json.encode(message)


def request_of(line: bytes) -> AnyRequest:
    """The request that a worker received. Raises ValueError where it is none."""
    return cast(AnyRequest, parse(line, cast(Any, AnyRequest)))


def answer_of(line: bytes, request: WorkerRequest[A]) -> A | Failed:
    """The answer to `request`. Raises ValueError, which names the field, where it is none."""
    return cast("A | Failed", parse(line, cast(Any, ANSWERS[type(request)] | Failed)))
