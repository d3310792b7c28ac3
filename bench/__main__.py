"""`python -m bench` is `resnet-bench`."""

import sys


def main() -> int:
    """Run the command, with modules searched as the installed command searches them."""
    if not sys.flags.safe_path:
        del sys.path[0]  # the working directory, whose random.py would be taken for the library's
    from bench.processes import ROOT

    if ROOT not in sys.path:  # a bare checkout
        sys.path.append(ROOT)
    from bench.cli.main import main as resnet_bench

    return resnet_bench()


if __name__ == "__main__":
    raise SystemExit(main())
