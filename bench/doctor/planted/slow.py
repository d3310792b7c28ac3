"""Every step takes exactly 20 ms by the monotonic clock, so that the right answer is known.

It sleeps for most of them, so that a busy machine gives it a processor when they are over.
"""

import time

from bench.doctor.planted import honest

STEP_S = 0.02
SPIN_S = 0.001


class Implementation(honest.Implementation):
    def train(self, steps):
        end = time.monotonic() + steps * STEP_S
        losses = super().train(steps)
        time.sleep(max(0, end - SPIN_S - time.monotonic()))
        while time.monotonic() < end:
            pass
        return losses
