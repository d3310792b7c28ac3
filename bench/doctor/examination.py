"""Self-tests: faults that are planted, and whether the instrument catches them.

Each fault is a small implementation in `planted/`, measured by the real parent in real workers, as
a user's own file would be.
"""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.analysis.steadiness import leak
from bench.calibrate import certify
from bench.cells import Cell
from bench.data.sharing import shared_data
from bench.machine import facts, gpu
from bench.records.record import Record
from bench.records.run import Run
from bench.request.matrix import cells_of
from bench.request.request import Request
from bench.run.measure import measure
from bench.temporary import TemporaryFolder

PLANTED = Path(__file__).with_name("planted")
STEPS = 40
TIMEOUT_S = 120.0
DELAY_MS = 20.0  # of slow.py
DELAY_ERROR = 0.01
LEAK_KIB = 1024.0  # per step, of leaky.py
LEAK_ERROR = 0.25
GPU_BATCH = 1024  # so much work per step that a GPU lags behind who does not wait for it
SMALL_BATCH = 16  # so little that no call's own time tells of it
ROUNDED = (("NumPy", "tf32.py", "cpu"), ("GPU", "tf32_cuda.py", "cuda"))
NO_GPU = "this machine shows no NVIDIA GPU"
TF32 = (8, 0)  # compute capability of Ampere, the first that has it

Seen = tuple[str, bool | None]  # the observation, and whether it is right; None: it shows nothing


@dataclass(frozen=True)
class Finding:
    """One self-test: its verdict is `passed`, `failed` or `not run`."""

    test: str
    planted: str
    seen: str
    verdict: str


@dataclass(frozen=True)
class Fault:
    """A planted file, and how its record is judged."""

    test: str
    planted: str
    file: str
    judge: Callable[[Record], Seen]
    workload: str = "train"
    device: str = "cpu"
    batch_size: int | None = None
    mode: str = "eager"
    beside: str | None = None  # a file that is measured side by side, both apart from the others

    @property
    def cells(self) -> list[Cell]:
        """Its own, and that of `beside`."""
        batch_size = self.batch_size or (32 if self.beside else 64)
        files = [self.file, self.beside] if self.beside else [self.file]
        return [_cell(file, self.workload, self.device, batch_size, self.mode) for file in files]


def examine() -> Iterator[Finding]:
    """Run all self-tests, in about a minute; what needs a GPU or a framework says so without."""
    faults = [fault for fault in FAULTS if fault.device == "cpu" or gpu.visible()]
    cells = list(dict.fromkeys(cell for fault in faults for cell in fault.cells))
    with (
        TemporaryFolder() as logs,
        shared_data(cells, None) as folders,
    ):
        run = Run(
            run_id="doctor",
            command="resnet-bench doctor",
            options=Request(),
            machine=facts.this_machine(),
        )
        tasks = [(cell, 0) for cell in cells]
        found = measure(run, tasks, folders, {}, logs=logs.path, timeout_s=TIMEOUT_S)
        records = {record.cell: record for record in found}
    for fault in FAULTS:
        verdict = "not run"
        if fault not in faults:
            seen = NO_GPU
        elif (record := records[fault.cells[0]]).status == "unavailable":
            seen = f"needs a framework: {record.reason}"
        else:
            seen, right = fault.judge(record)
            verdict = {True: "passed", False: "failed", None: "not run"}[right]
        yield Finding(fault.test, fault.planted, seen, verdict)
    for where, file, device in ROUNDED:
        yield _tf32(where, file, device)


def _tf32(where: str, file: str, device: str) -> Finding:
    """Whether the timed half of a certificate tells TF32 from fp32, and no other half does."""
    test, planted = f"TF32 under the label fp32, {where}", "convolutions keep 10 bits of mantissa"
    if device == "cuda" and not gpu.visible():
        return Finding(test, planted, NO_GPU, "not run")
    if device == "cuda" and (gpu.visible()[0].compute_capability() or TF32) < TF32:
        return Finding(test, planted, "this GPU has no TF32", "not run")
    executable = _cell(file, "train", device, 64).executable
    found = certify.certify([executable], timeout_s=600, remembered=False)
    [(_, certificate)] = found
    failure = certificate.timed.failure or ""
    if failure.startswith("unavailable"):
        return Finding(test, planted, f"needs a framework: {failure}", "not run")
    seen = f"float64 {certificate.float64.verdict}; as timed {certificate.timed.verdict}"
    right = certificate.float64.passed and bool(certificate.timed.failed)
    return Finding(test, planted, seen, "passed" if right else "failed")


def _cell(file: str, workload: str, device: str, batch_size: int, mode: str = "eager") -> Cell:
    request = Request(
        impl=(str(PLANTED / file),),
        mode=(mode,),
        workload=(workload,),
        device=(device,),
        batch_size=(batch_size,),
        optimizer=("sgd",),
        steps=STEPS,
    )
    [cell] = cells_of(request)
    return cell


def _end(record: Record) -> str:
    """`crashed: RuntimeError: no kernel`."""
    return f"{record.status}: {record.reason}" if record.reason else record.status


def _status(status: str, words: str = "") -> Callable[[Record], Seen]:
    """Judges by the status, and by words that the reason must hold."""

    def judge(record: Record) -> Seen:
        return _end(record), record.status == status and words in (record.reason or "")

    return judge


def _delay(record: Record) -> Seen:
    if record.status != "ok":
        return _end(record), False
    samples_ms = [seconds * 1e3 for seconds in record.step_s], record.latency_ms
    medians_ms = [statistics.median(each) for each in samples_ms]
    seen = f"{medians_ms[0]:.2f} ms in blocks, {medians_ms[1]:.2f} ms alone"
    if all(abs(ms / DELAY_MS - 1) <= DELAY_ERROR for ms in medians_ms):
        return seen, True
    if all(abs(min(each) / DELAY_MS - 1) <= DELAY_ERROR for each in samples_ms):
        return f"{seen}, each exact at best: the machine is too busy to tell", None
    return seen, False


def _leak(record: Record) -> Seen:
    found = leak(record, "host")
    if record.status != "ok" or found is None:
        return _end(record), False
    right = found.leaks and abs(found.kib_per_step / LEAK_KIB - 1) <= LEAK_ERROR
    return f"{found.kib_per_step:,.0f} KiB per step", right


def _recompilation(record: Record) -> Seen:
    if record.status != "ok":
        return _end(record), False
    timed = sum(record.block_steps)
    count = record.compilations_while_timed
    return f"{count} compilations in {timed} timed steps", (count or 0) >= timed


EARLY = _status("uncertified", "of its work still to do")

FAULTS = (
    Fault("no fault", "none", "honest.py", _status("ok")),
    Fault("known delay", f"each step takes {DELAY_MS:g} ms", "slow.py", _delay),
    *(
        Fault(
            f"missing synchronisation, {workload}",
            f"{workload} returns before its work is done",
            "unsynchronised.py",
            EARLY,
            workload,
        )
        for workload in ("train", "infer")
    ),
    Fault(
        "missing synchronisation, GPU",
        "infer does not wait for its logits",
        "unsynchronised_cuda.py",
        EARLY,
        "infer",
        "cuda",
        GPU_BATCH,
    ),
    *(
        Fault(
            f"missing synchronisation, GPU, {workload} of small batches",
            f"{workload} returns before its work is done",
            f"unsynchronised_cuda_{workload}.py",
            _status("uncertified", "of their work still to do on the device"),
            workload,
            "cuda",
            SMALL_BATCH,
        )
        for workload in ("train", "infer")
    ),
    Fault(
        "lazy step",
        "training changes no parameter",
        "lazy.py",
        _status("uncertified", "training left all parameters"),
    ),
    Fault(
        "lazy inference",
        "infer hands out the logits of earlier images",
        "lazy_infer.py",
        _status("uncertified", "off those of predict"),
        "infer",
    ),
    Fault("leak", f"each step keeps {LEAK_KIB:,.0f} KiB", "leaky.py", _leak),
    *(
        Fault(
            f"recompilation, {framework}",
            "each step compiles anew",
            f"recompiling_{framework.lower()}.py",
            _recompilation,
        )
        for framework in ("torch", "JAX", "TensorFlow")
    ),
    *(
        Fault(
            f"compiler switched off, {framework}",
            f"{variable}=1, in mode compiled",
            f"switched_off_{framework.lower()}.py",
            _status("uncertified", f"nothing was compiled in mode compiled: unset {variable}=1"),
            mode="compiled",
        )
        for framework, variable in (("torch", "TORCHDYNAMO_DISABLE"), ("JAX", "JAX_DISABLE_JIT"))
    ),
    Fault(
        "NaN",
        "the loss is no number from step 5 on",
        "diverging.py",
        _status("crashed", "loss became nan at step 5"),
    ),
    Fault(
        "work while suspended",
        "a process outside the worker's group computes on",
        "restless.py",
        _status("uncertified", "that it was suspended"),
        beside="slow.py",
    ),
)
