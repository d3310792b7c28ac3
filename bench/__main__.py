"""`resnet-bench`, and `python -m bench`, which is the same."""

import sys

if __name__ == "__main__":  # search modules as the installed command does
    if not sys.flags.safe_path:
        del sys.path[0]  # the working directory, whose signal.py would be taken for the library's
    root = __file__.rsplit("/", 2)[0]
    if root not in sys.path:  # a bare checkout
        sys.path.append(root)

import os
import signal
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run the command; returns its exit code."""
    for number in ENDING:  # first of all: the imports take a while
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupted_early)
    from bench import signals
    from bench.cli.main import main as resnet_bench

    signals.answer()
    code = resnet_bench()
    for number in ENDING:  # nothing is left to end
        signal.signal(number, signal.SIG_IGN)
    return code


def _interrupted_early(number: int, frame: FrameType | None) -> None:
    """End before anything has begun, and so without a traceback of what was being imported."""
    os.write(2, b"resnet-bench: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    raise SystemExit(main())
