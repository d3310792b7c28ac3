"""When the signals that end a run, or stop it, take effect."""

import os
import signal
import subprocess
import sys
import time

import pytest

from bench import signals

# Sends itself the signals given, within what is to be finished or held, and says what it did
PROGRAM = """
import signal, sys
from bench import signals
signals.answer()
around = getattr(signals, sys.argv[1])
try:
    with around():
        for number in sys.argv[2:]:
            signal.raise_signal(int(number))
        print("whole")
    print("on")
except KeyboardInterrupt:
    print("interrupted", signals.interrupts(), signals.stops())
"""
INT, TERM, CONT = signal.SIGINT, signal.SIGTERM, signal.SIGCONT


@pytest.mark.parametrize(
    ("around", "sent", "said"),
    [
        ("finishing", [INT], ["whole", "interrupted 1 0"]),
        ("finishing", [TERM, INT], ["interrupted 2 0"]),
        ("finishing", [CONT, TERM], ["whole", "interrupted 1 1"]),
        ("finishing", [CONT], ["whole", "on"]),
        ("held", [TERM], ["whole", "interrupted 1 0"]),
        ("held", [], ["whole", "on"]),
    ],
)
def test_what_is_going_on_comes_to_its_end(
    around: str, sent: list[signal.Signals], said: list[str]
) -> None:
    words = [sys.executable, "-c", PROGRAM, around, *(str(int(number)) for number in sent)]
    finished = subprocess.run(words, capture_output=True, text=True)
    assert (finished.stdout.splitlines(), finished.stderr) == (said, "")


def test_what_is_ignored_stays_so() -> None:
    program = f"import signal; signal.signal(1, signal.SIG_IGN)\n{PROGRAM}"
    words = [sys.executable, "-c", program, "held", "1"]
    finished = subprocess.run(words, capture_output=True, text=True)
    assert finished.stdout.splitlines() == ["whole", "on"]


def test_a_machine_that_slept_has_stopped_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signals.stops()
    assert signals.stops() == before
    real = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + 60)
    assert signals.stops() == before + 1
    assert signals.stops() == before + 1
    monkeypatch.undo()
    monkeypatch.setattr(signals._Seen, "slept_s", signals._slept_s())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_while_modules_are_imported_is_one_line(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "bench", "run", "--plan"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in signals.ENDING],
    ) as started:
        assert started.stderr
        for line in started.stderr:  # each module is told of as it has been imported
            if "bench.signals" in line or "bench.errors" in line:
                break
        os.kill(started.pid, number)
        said = [line for line in started.stderr if not line.startswith("import time:")]
    assert said == ["resnet-bench: interrupted\n"]
    assert started.returncode == 130
