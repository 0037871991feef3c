"""When a run's networks, augmentation and cutting are compiled (torch.compile), and where the results are kept."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from oac.pretrain import distributed

# Compiling took 66 s on a machine of 16 cores, and the compiled step saved 36 to 57 % of the time (docs/speed.md).
PAYS_SECONDS = 300.0
WARM_UP, TIMED = 10, 20  # steps before the timed ones, in which cuDNN looks for its algorithms, and timed ones


class Compilation:
    """Decides for a run, from the time that its first steps take uncompiled, and compiles.

    mode: "on" compiles before the first step, "off" never; "auto" compiles on a GPU once it is known that the rest of
    the run would take longer than PAYS_SECONDS. On a CPU "auto" is "off", so that a run gives the same bits wherever
    it was resumed. A batch in several parts is not compiled: each part has a momentum of its own for running
    statistics, which would be a graph of its own.
    """

    def __init__(self, mode: str, device: torch.device, compile: Callable[[], None], parts: int = 1):
        """`compile` marks all that can be compiled; the work is done at the next step."""
        self.device, self.compile = device, compile
        self.steps, self.began = 0, 0.0
        self.undecided = mode == "auto" and device.type == "cuda" and parts == 1
        if mode == "on" and parts == 1:
            self._say("on: as configured")
            compile()
        elif mode == "off":
            self._say("off: as configured")
        elif parts > 1:
            self._say(f"off: accumulate computes a batch in {parts} parts, which are not compiled")
        elif not self.undecided:
            self._say("off: on a CPU it is not done unless asked for")

    def after_step(self, left: int) -> None:
        """Count a step; `left` are still to come. All processes of a run come to the same decision."""
        if not self.undecided:
            return
        self.steps += 1
        if self.steps == WARM_UP:
            self.began = self._now()
        if self.steps < WARM_UP + TIMED:
            return
        self.undecided = False
        # The slowest process decides for all.
        rest = distributed.all_reduce_max(round((self._now() - self.began) / TIMED * left))
        if rest > PAYS_SECONDS:
            self._say(f"on: the rest of the run would take {rest} s, more than {PAYS_SECONDS:.0f} s")
            self.compile()
        else:
            self._say(f"off: the rest of the run takes {rest} s, and compiling pays from {PAYS_SECONDS:.0f} s on")

    def _now(self) -> float:
        """The time at which the device has done what it was asked for."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.monotonic()

    @staticmethod
    def _say(text: str) -> None:
        if distributed.rank() == 0:
            print(f"compilation {text}", file=sys.stderr)


def keep_results(folder: Path) -> None:
    """Have the compiler keep its results under a folder, where the next run finds them; a user's own choice wins."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder.resolve()))
