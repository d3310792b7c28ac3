"""Ranks as a worker has them: suspended with it, ended with it, and told of where one dies."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bench.cells import Cell
from bench.cli.main import main, parser
from bench.cli.request import request_of
from bench.machine import cpus
from bench.machine.devices import visibility
from bench.obstacles import unsupported
from bench.parent.child import Child, Failure
from bench.parent.schedule import by_contest
from bench.request.matrix import cells_of
from bench.worker import communication
from bench.worker.environment import Environment
from bench.worker.protocol import Audit, Block, Build, Finish, WarmUp

StartChild = Callable[..., tuple[Child, Build]]
Survivors = Callable[[list[psutil.Process]], list[psutil.Process]]

TORCH = {
    "backend": "torch",
    "workload": "train-dp",
    "world_size": 2,
    "batch_norm": "synchronised",
    "batch_size": 8,
    "threads": min(2, len(cpus.allowed())),
}


def asked(words: str) -> list[Cell]:
    return cells_of(request_of(parser().parse_args(["run", *words.split()])))


def test_ranks_live_and_die_with_their_worker(
    start_child: StartChild, survivors: Survivors, eventually: Callable[..., bool]
) -> None:
    child, build = start_child(Path("torch_module"), **TORCH)
    child.ask(build, 300)
    child.ask(WarmUp(steps=2), 300)
    family = [child.suspension.family[0], *child.suspension.family[0].children(recursive=True)]
    [rank] = [process for process in family[1:] if process.num_threads() > 1]
    session = os.getsid(rank.pid)
    assert os.getpgid(rank.pid) == child.process.pid
    assert session == os.getsid(0)
    assert eventually(lambda: {process.status() for process in family} == {psutil.STATUS_STOPPED})

    timed = child.ask(Block(steps=3), 300)
    assert timed.cpu_s > 0
    assert len(child.ask(Finish(), 300).losses) == 6
    share = child.ask(Audit(step_s=timed.block_s / 3), 300).communication_share
    assert share is not None
    assert share < 1

    rank.kill()
    with pytest.raises(Failure, match=r"rank 1 has ended: .*SIGKILL") as failure:
        child.ask(Block(steps=3), 300)
    assert failure.value.status == "crashed"
    child.end()
    assert survivors(family) == []


@pytest.mark.parametrize(
    ("name", "backend", "mode"),
    [
        ("tensorflow_module", "tensorflow", "graph"),
        pytest.param("torch_module", "torch", "eager", marks=pytest.mark.long),
        pytest.param("flax_nnx", "jax", "compiled", marks=pytest.mark.long),
        pytest.param("keras_functional", "jax", "compiled", marks=pytest.mark.long),
    ],
)
def test_nothing_is_compiled_anew_for_another_number_of_steps(
    name: str, backend: str, mode: str, start_child: StartChild
) -> None:
    child, build = start_child(Path(name), **{**TORCH, "backend": backend, "mode": mode})
    child.ask(build, 300)
    child.ask(WarmUp(steps=2), 300)
    for steps in (3, 1):
        child.ask(Block(steps=steps), 300)
    assert child.ask(Finish(), 300).compilations_while_timed == 0


class Recording:
    """What counts the steps of each kind, in the order of the calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def train(self, steps: int) -> None:
        self.calls.append(("train", steps))


class Exchanging(Recording):
    def train_alone(self, steps: int) -> None:
        self.calls.append(("alone", steps))


def test_steps_with_exchange_and_without_are_taken_in_turn() -> None:
    ranks = Exchanging()
    share = communication.share(ranks, step_s=communication.STRETCH_S / 4)  # type: ignore[arg-type]
    assert share is not None
    assert ranks.calls == [("alone", 4), ("train", 4)] * (1 + communication.REPEATS)
    silent = Recording()
    assert communication.share(silent, step_s=0.1) is None  # type: ignore[arg-type]
    assert silent.calls == []


STILLBORN = """
def stillborn(index, group, first):
    raise MemoryError("DefaultCPUAllocator: can't allocate memory")


if __name__ == "__main__":
    import stillborn
    from bench.worker.__main__ import diagnose
    from resnet_impls import torch_ranks

    torch_ranks.follow = stillborn.stillborn
    try:
        torch_ranks.Ranks(2, "cpu")
    except RuntimeError as error:
        print(diagnose(error))
"""


@pytest.mark.long
def test_a_rank_that_cannot_start_says_why(tmp_path: Path) -> None:
    file = tmp_path / "stillborn.py"
    file.write_text(STILLBORN)
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, str(file)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "status='oom'" in done.stdout, done.stderr
    assert "rank 1 has ended: MemoryError: DefaultCPUAllocator" in done.stdout


def test_world_sizes_are_cells_of_their_workload_alone() -> None:
    words = "--impl torch_module --workload train train-dp --world-size 1 2 --batch-size 8 16"
    cells = asked(f"{words} --device cpu --threads 2 --batch-norm synchronised per-replica")
    found = {(c.workload, c.batch_size, c.world_size, c.batch_norm) for c in cells}
    assert found == {
        *(("train", size, None, None) for size in (8, 16)),
        *(
            ("train-dp", size, ranks, norm)
            for size in (8, 16)
            for ranks in (1, 2)
            for norm in ("synchronised", "per-replica")
        ),
    }
    groups = by_contest([(cell, 0) for cell in cells])
    # strong and weak scaling from the same rounds: all world and batch sizes side by side
    assert sorted(map(len, groups)) == [1, 1, 4, 4]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--workload train --world-size 2", "--world-size is of train-dp alone"),
        ("--workload train --batch-norm per-replica", "--batch-norm is of train-dp alone"),
        ("--workload train-dp --world-size 2 2", "give each value only once"),
        ("--workload train-dp --world-size 2 --batch-size 7", "choose a multiple of 2, such as 8"),
        ("--workload train-dp --world-size 2 --batch-size 2", "2 or more; choose a multiple of 2"),
        ("--workload train-dp --batch-size max", "--batch-size max: train-dp compares"),
        ("--workload train-dp --world-size 9 --threads 1", "has 1; choose at most 1"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(
    words: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"run --plan --impl torch_module --device cpu {words}"
    assert main(command.split()) == 2
    [told] = capsys.readouterr().err.splitlines()
    assert line in told


def test_what_does_not_train_data_parallel_says_so() -> None:
    words = "--impl keras_functional torch_module torchvision_model --workload train-dp"
    cells = asked(f"{words} --batch-norm per-replica --device cpu --mode eager --world-size 1")
    keras, torch, vision = (
        [cell for cell in cells if cell.implementation == name]
        for name in ("keras_functional", "torch_module", "torchvision_model")
    )
    by_backend = {cell.backend: cell for cell in keras}
    assert (unsupported(by_backend["torch"]) or "").startswith(
        "keras_functional on torch has no workload train-dp, only train"
    )
    jax = replace(by_backend["jax"], mode="compiled")
    assert "has no batch norm per-replica" in (unsupported(jax) or "")
    assert unsupported(torch[0]) is None
    assert "has no mode compiled" in (unsupported(replace(torch[0], mode="compiled")) or "")
    assert "has no workload train-dp" in (unsupported(vision[0]) or "")


def test_a_file_without_ranks_is_unsupported(start_child: StartChild, fake: Path) -> None:
    child, build = start_child(fake, **{**TORCH, "backend": fake.stem})
    with pytest.raises(Failure, match="takes no batch_norm and no world_size") as failure:
        child.ask(build, 60)
    assert failure.value.status == "unsupported"


def test_each_rank_sees_a_gpu_of_its_own(
    make_cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visibility("cuda", 2) == {"CUDA_VISIBLE_DEVICES": "0,1"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 1,0")
    assert visibility("cuda", 2) == {"CUDA_VISIBLE_DEVICES": "3,1"}
    of = Environment.of(make_cell(workload="train-dp", world_size=2, device="cuda"))
    assert of.variables()["CUDA_VISIBLE_DEVICES"] == "3,1"
