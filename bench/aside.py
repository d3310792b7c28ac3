"""Work that a process of its own does, so that this one stays small."""

import signal
import subprocess
import sys

ENDING = (signal.SIGTERM, signal.SIGHUP)  # what ends a run just as Ctrl-C does


def run(module: str, *arguments: str) -> int:
    """Run `python -m module` to its end; its exit code. To be called in the main thread.

    Ctrl-C is for this process to answer, and ends the other. It is held back until that exists:
    an interrupt while a process is started would leave it behind, to fail at files that are gone.
    """
    usual = signal.default_int_handler
    numbers = [n for n in (signal.SIGINT, *ENDING) if signal.getsignal(n) is usual]
    held: list[int] = []
    try:
        # by handlers and no mask, since libraries have threads that the signal may reach as well
        for number in numbers:
            signal.signal(number, lambda got, _: held.append(got))
        command = [sys.executable, "-m", module, *arguments]
        with subprocess.Popen(command, process_group=0) as process:
            try:
                for number in numbers:
                    signal.signal(number, usual)
                if held:
                    raise KeyboardInterrupt
                return process.wait()
            except BaseException:
                process.kill()
                raise
    finally:
        for number in numbers:
            signal.signal(number, usual)
