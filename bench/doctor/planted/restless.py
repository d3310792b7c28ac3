"""A process in a session of its own computes on, whether its worker is suspended or not."""

import os
import subprocess
import sys

from bench.doctor.planted import honest

PROGRAM = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    sum(range(100_000))
"""


class Implementation(honest.Implementation):
    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(os.getpid())], start_new_session=True)
