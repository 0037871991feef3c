"""The training loop: one for every method, crop policy and device.

A run is measured in images seen, so that all variants of a comparison get equal budgets whatever they cut. The loop
checkpoints by time, can be killed at any moment, and on SIGTERM or Ctrl-C writes a checkpoint and leaves.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from oac.pretrain import accumulation, augment, distributed
from oac.pretrain.checkpoint import State, StateError
from oac.pretrain.compilation import Compilation
from oac.pretrain.device_cut import DeviceCut
from oac.pretrain.loader import Batch, ViewBatches, stream
from oac.pretrain.masked_augment import MaskedAugmentation
from oac.pretrain.methods import Method
from oac.pretrain.nn import compile_backbones
from oac.pretrain.optimizer import OptimizerOptions, build_optimizer, learning_rate
from oac.pretrain.precision import AUTOCAST, resolve_precision
from oac.pretrain.recipe import step_count

EXIT_PREEMPTED = 75  # sysexits.h: temporary failure; Snakemake's `retries` starts the job again
_GO_ON, _SAVE, _STOP = range(3)  # what the processes of a run can ask of each other after a step


class Preempted(Exception):
    """The run was asked to stop and has written a checkpoint."""


class Trainer:
    """One run: a method, its batches, its optimiser and its state folder."""

    def __init__(
        self,
        recipe: dict[str, Any],
        method: Method,
        batches: ViewBatches,
        state: State,
        *,
        device: str = "cpu",
        workers: int = 0,
        log_every: int = 0,
        checkpoint_seconds: float = 120.0,
        compile: str = "off",
        accumulate: int = 1,
        boxes_per_photo: float = 1.0,
    ):
        """Bring the method to the device.

        compile: "auto", "on" or "off", see `Compilation`. accumulate: parts that a batch is computed in.
        boxes_per_photo: see `step_count`.
        """
        accumulation.prepare(method, accumulate)
        self.accumulate = accumulate
        self.recipe, self.batches, self.state = recipe, batches, state
        self.device, self.workers, self.checkpoint_seconds = torch.device(device), workers, checkpoint_seconds
        self.method = method.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = distributed.data_parallel(self.method)  # the method itself where one process trains
        options = recipe["options"]
        own = {key: value for key, value in options.items() if key in OptimizerOptions.__dataclass_fields__}
        self.schedule = OptimizerOptions(**own)
        self.augmentations = augment.of_views(recipe["augment"])
        self.steps = step_count(recipe, len(batches.photos), boxes_per_photo)
        self.log_every = log_every or max(1, self.steps // 100)
        self.optimizer = build_optimizer(self.schedule, self.method)
        self.precision = resolve_precision(recipe["precision"], self.device)
        # Half precision has no gradients below 6e-8, so the loss is multiplied by what just fits.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.step, self.damaged = 0, 0
        self.sums: dict[str, Tensor] = {}  # of monitors since the last report
        self.stopping = False
        self.first = distributed.rank() == 0  # of several processes the first writes
        self.augment: Callable[[Tensor, augment.Parameters], Tensor] = augment.augment
        self.compilation = Compilation(compile, self.device, self._compile, accumulate)
        norms = [m for m in self.method.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self.running = [b for m in norms for b in (m.running_mean, m.running_var) if b is not None]

    def run(self) -> None:
        """Train to the end of the budget, from the last checkpoint where there is one.

        Raises Preempted after SIGTERM or SIGINT, FloatingPointError where training diverged; in both cases the state
        folder holds the last good checkpoint.
        """
        with self.state.locked() if self.first else contextlib.nullcontext():
            self._resume()
            # Ctrl-C reaches the whole process group, this process included, and is answered like SIGTERM.
            previous = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
            try:
                self._train()
            finally:
                for number, handler in previous.items():
                    signal.signal(number, handler)

    def _train(self) -> None:
        source = stream(self.batches, self.step, self.steps, workers=self.workers, pin=self.device.type == "cuda")
        saved = interval = time.monotonic()
        waited, first = 0.0, self.step
        quiet = not (self.first and sys.stderr.isatty())
        with tqdm(total=self.steps, initial=self.step, unit="step", disable=quiet) as bar:
            while self.step < self.steps:
                began = time.monotonic()
                batch = next(source)
                waited += time.monotonic() - began
                self._accumulate(self._train_step(batch))
                self.damaged += batch.damaged
                self.step += 1
                self.compilation.after_step(self.steps - self.step)
                bar.update()
                if self.step % self.log_every == 0 or self.step == self.steps:
                    now = time.monotonic()
                    self._report(self.step - first, now - interval, waited)
                    interval, waited, first = now, 0.0, self.step
                due = time.monotonic() - saved > self.checkpoint_seconds
                # A signal may reach one process of several, and their clocks differ: they save and stop together.
                action = distributed.all_reduce_max(_STOP if self.stopping else _SAVE if due else _GO_ON)
                if action >= _SAVE:
                    self._save()
                    saved = time.monotonic()
                if action == _STOP:
                    raise Preempted(f"stopped at step {self.step} of {self.steps}; run again to go on")
        self._save()

    def _train_step(self, batch: Batch) -> dict[str, Tensor]:
        """Do one step; return its loss and monitors as tensors on the device, without waiting for them."""
        query, key = self._augmented(batch)
        batch = self._with_small_views(batch)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.schedule, self.step, self.steps)
        self.method.train()
        self.optimizer.zero_grad(set_to_none=True)
        monitors = self._backward(query, key, batch)
        # So that all processes hold the state that the first one saves, wherever it is saved.
        distributed.average_(self.running)
        progress = self.step / self.steps
        self.method.before_step(progress)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.method.after_step(progress)
        return monitors

    def _backward(self, query: Tensor, key: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Compute the gradients of a batch, part by part; return the means of its parts' losses and monitors."""
        kind, count = AUTOCAST[self.precision], self.accumulate
        autocast = functools.partial(torch.autocast, self.device.type, kind, enabled=kind is not None)
        parts = [(query, key, batch)]
        if count > 1:
            with autocast():
                batch = self.method.before_parts(key, batch, count)
            parts = list(accumulation.parts_of(query, key, batch, count))
        seen = []
        for number, part in enumerate(parts, start=1):
            with distributed.averaging(self.model, now=number == count):
                with autocast():
                    loss, monitors = self.model(*part)
                self.scaler.scale(loss / count).backward()
            seen.append({"loss": loss.detach(), **monitors})
        return {name: torch.stack([each[name] for each in seen]).mean(0) for name in seen[0]}

    def _augmented(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Augment both views with random numbers that depend on (seed, epoch, item)."""
        draws = augment.view_draws(self.batches.seed, batch.epoch, batch.item)
        views = []
        for view, settings, u in zip((batch.query, batch.key), self.augmentations, draws, strict=True):
            parameters = augment.draw_parameters(settings, u, self.batches.view_size)
            views.append(self.augment(view.to(self.device, non_blocking=True), parameters))
        return views[0], views[1]

    def _with_small_views(self, batch: Batch) -> Batch:
        """Put augmented small views in the place of the cut ones; they are augmented like the query.

        Their blur, too, has the query's sigma in pixels, as in src/multicropdataset.py of SwAV's authors.
        """
        if batch.small is None:
            return batch
        u = augment.small_draws(self.batches.seed, batch.epoch, batch.item, len(batch.small) // len(batch.query))
        parameters = augment.draw_parameters(self.augmentations[0], u, self.batches.view_size)
        return replace(batch, small=self.augment(batch.small.to(self.device, non_blocking=True), parameters))

    def _compile(self) -> None:
        """Mark what is compiled at the next step."""
        compile_backbones(self.method)
        if self.device.type == "cuda":
            self.augment = MaskedAugmentation()
        if isinstance(self.batches.photos, DeviceCut):
            self.batches.photos.compile()

    def _accumulate(self, monitors: dict[str, Tensor]) -> None:
        """Add a step's monitors up on the device; they are read once an interval."""
        self.sums = {name: self.sums.get(name, 0) + value for name, value in monitors.items()}

    def _report(self, steps: int, seconds: float, waited: float) -> None:
        """Write one history line, and print it where there is no progress bar."""
        distributed.average_(self.sums.values())
        count = self.step % self.log_every or self.log_every
        means = {name: float(value) / count for name, value in self.sums.items()}
        self.sums = {}
        self._require_finite(means["loss"])
        rate = steps * self.batches.batch_size / max(seconds, 1e-9)
        line = {
            "step": self.step,
            "epoch": round(self.step * self.batches.batch_size / len(self.batches.item_photo), 3),
            "images_seen": self.step * self.batches.batch_size,
            "loss": round(means.pop("loss"), 5),
            "chance": round(self.method.chance, 5),
            **{name: round(value, 5) for name, value in means.items()},
            "lr": learning_rate(self.schedule, self.step - 1, self.steps),
            "images_per_s": round(rate, 1),
            "data_share": round(waited / max(seconds, 1e-9), 3),
            "eta_s": round((self.steps - self.step) * self.batches.batch_size / rate),
            "damaged": self._damaged_by_all(),
        }
        if not self.first:
            return
        self.state.log(line)
        if not sys.stderr.isatty():
            print(
                f"step {self.step}/{self.steps}  loss {line['loss']:.3f} (chance {line['chance']:.3f})"
                f"  {rate:.0f} images/s  {line['eta_s']} s left",
                file=sys.stderr,
                flush=True,
            )

    def _damaged_by_all(self) -> int:
        """Photos that could not be read, in all processes."""
        return int(distributed.all_reduce_sum(torch.tensor(self.damaged)))

    def _require_finite(self, value: float) -> None:
        if not math.isfinite(value):
            raise FloatingPointError(
                f"training diverged by step {self.step}: lower the learning rate; the last good checkpoint, if there"
                f" was time for one, is in {self.state.folder}"
            )

    def _save(self) -> None:
        # A state that has gone bad must not replace a good one; one sum over the weights tells.
        self._require_finite(float(sum(p.detach().double().sum() for p in self.method.parameters())))
        distributed.average_(self.sums.values())
        self._require_finite(float(self.sums.get("loss", 0.0)))
        damaged = self._damaged_by_all()
        if self.first:
            self.state.save(
                {
                    "step": self.step,
                    "method": self.method.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "scaler": self.scaler.state_dict(),
                    "sums": self.sums,
                    "damaged": damaged,
                }
            )
        distributed.barrier()  # a machine that has left must not end the others while they write

    def _resume(self) -> None:
        # The first process may set a checkpoint of other data aside; the others look when it has.
        content = self.state.load() if self.first else None
        distributed.barrier()
        content = content if self.first else self.state.load()
        if content is not None:
            self.method.load_state_dict(content["method"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.scaler.load_state_dict(content.get("scaler", {}))  # of a run begun before there was one
            self.step, self.damaged = content["step"], content["damaged"] * self.first
            self.sums = {name: value.to(self.device) for name, value in content["sums"].items()}
        nearest, farthest = -distributed.all_reduce_max(-self.step), distributed.all_reduce_max(self.step)
        if nearest < farthest:
            raise StateError(
                f"{self.state.folder} is at step {nearest} for one process of the run and at step {farthest} for"
                " another: put it where all machines of the run see the same files"
            )
        if self.first:
            self.state.start_history(self.step, steps=self.steps, device=self.device.type, precision=self.precision)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self.stopping = True


def set_threads(count: int) -> None:
    """Fix the number of compute threads: sums over another number of threads differ in their last bits."""
    os.environ["OMP_NUM_THREADS"] = str(count)
    torch.set_num_threads(count)
