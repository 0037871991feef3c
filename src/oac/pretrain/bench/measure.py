"""How fast training is on the machine at hand, beside a loop as it is commonly written (yardstick.py).

Both train MoCo-v2 on scene crops of the same photos out of the same store. Everything is timed in turns, because
machines are shared and noisy, and medians are reported.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from oac.pretrain import augment, methods
from oac.pretrain.bench import yardstick
from oac.pretrain.bench.photos import write_photos
from oac.pretrain.bench.setting import Setting
from oac.pretrain.bench.table import machine
from oac.pretrain.checkpoint import State
from oac.pretrain.crops import CropPolicy
from oac.pretrain.loader import Boxes, ViewBatches, stream
from oac.pretrain.loop import Trainer, resolve_precision, set_threads
from oac.pretrain.methods.moco import Options
from oac.pretrain.nn import compile_backbones
from oac.pretrain.photos import Photos
from oac.pretrain.resident import ResidentPhotos, open_photos

# Peak of dense bfloat16 products, from data sheets; where a device is not listed a large product is timed instead.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}


class Bench:
    """Ours and the yardstick over one store."""

    def __init__(self, setting: Setting, folder: Path):
        self.setting, self.folder = setting, folder
        self.device = torch.device(setting.device)
        if setting.device == "cpu":
            set_threads(setting.threads)
        else:
            torch.backends.cudnn.benchmark = True  # as a run has it
        began = time.monotonic()
        self.images = write_photos(folder, setting.photos)
        self.making_seconds = time.monotonic() - began
        began = time.monotonic()
        photos = self.folder / "photos"
        self.resident = self._batches(
            open_photos(photos, self.images, self.device, threads=setting.threads, reduced=True)
        )
        self.decoding_seconds = time.monotonic() - began
        self.streamed = self._batches(Photos(photos, self.images, resident_gib=0.0, reduced=True))
        self.plain_photos = yardstick.PlainPhotos(folder / "photos", self.images, setting.view_size)
        cut_here = setting.device == "cpu" or isinstance(self.resident.photos, ResidentPhotos)
        self.workers = 0 if cut_here else setting.threads
        self.waited: list[float] = []  # seconds for data, in each turn of the whole loop

    def _batches(self, photos: Photos | ResidentPhotos) -> ViewBatches:
        count = len(photos)
        return ViewBatches(
            photos,
            Boxes.pack([np.zeros((0, 4), np.float32)] * count),
            np.zeros((count, 1)),
            CropPolicy("scene-scene"),
            0.2,
            seed=0,
            batch_size=self.setting.batch_size,
            view_size=self.setting.view_size,
            reduce=2.0,
        )

    def run(self) -> dict[str, Any]:
        """Measure everything in turns; return what bench.json holds."""
        setting = self.setting
        arithmetic = {"flops_per_pair": self.flops(), "peak_flops": self.peak()}
        works = {
            "step": self._step_alone(),
            "resident": self._loader(self.resident),
            "streamed": self._loader(self.streamed),
            "augmentation": self._augmentation(),
            "plain_loader": self._plain_loader(),
            "plain": self._plain(),
            "whole": self._whole(),
            **self._alternative(),
        }
        # What one process does alone would take a GPU's benchmark most of its time.
        steps = dict.fromkeys(works, setting.steps) | dict.fromkeys(
            ("streamed", "plain_loader"), max(1, setting.steps // (8 if self.device.type == "cuda" else 1))
        )
        for work in works.values():
            work(2)  # memory, threads and workers are warm afterwards
        self.waited.clear()
        measured: dict[str, list[tuple[float, float]]] = {}
        for _ in range(setting.turns):
            for name, work in works.items():
                measured.setdefault(name, []).append(timed(work, steps[name]))
        return arithmetic | self._figures(measured, steps, arithmetic["flops_per_pair"] / arithmetic["peak_flops"])

    def _figures(
        self, measured: dict[str, list[tuple[float, float]]], steps: dict[str, int], peak_seconds: float
    ) -> dict[str, Any]:
        """Rates and ratios of the medians over turns.

        measured: of each work the seconds on the clock and of the processors in each turn; steps: how many a turn
        has; peak_seconds: what a pair takes at the peak of the arithmetic.
        """
        setting, pairs = self.setting, self.setting.batch_size
        wall = {name: statistics.median(w for w, _ in turns) for name, turns in measured.items()}
        cpu = {name: statistics.median(c for _, c in turns) for name, turns in measured.items()}
        rate = {name: pairs * steps[name] / seconds for name, seconds in wall.items()}
        milliseconds = {name: 1000 * seconds / pairs / steps[name] for name, seconds in cpu.items()}
        return {
            "step_pairs_per_s": rate["step"],
            "loader_pairs_per_s": rate["resident"] * max(1, self.workers),
            "end_to_end_pairs_per_s": rate["whole"],
            "yardstick_pairs_per_s": rate["plain"],
            "end_to_end_ratio": rate["whole"] / rate["plain"],
            "end_to_end_fp32_pairs_per_s": rate.get("whole_fp32"),
            "compiled_step_pairs_per_s": rate.get("step_compiled"),
            "end_to_end_streamed_pairs_per_s": rate.get("whole_streamed"),
            "loader_cpu_ratio": milliseconds["plain_loader"] / milliseconds["resident"],
            "loader_and_augmentation_cpu_ratio": milliseconds["plain_loader"]
            / (milliseconds["resident"] + milliseconds["augmentation"]),
            "streamed_loader_cpu_ratio": milliseconds["plain_loader"] / milliseconds["streamed"],
            "streamed_loader_pairs_per_s": rate["streamed"],
            "yardstick_loader_pairs_per_s": rate["plain_loader"],
            "cpu_ms_per_pair": milliseconds,
            "data_share": statistics.median(self.waited) / wall["whole"],
            "mfu": rate["whole"] * peak_seconds,
            "step_mfu": rate["step"] * peak_seconds,
            "photos_on_device": isinstance(self.resident.photos, ResidentPhotos),
            "decoding_resident_photos_s": self.decoding_seconds,
            "mean_photo_kb": self._mean_kilobytes(),
            "turns": {name: [round(w, 4) for w, _ in turns] for name, turns in measured.items()},
            "machine": machine(self.device),
            "setting": asdict(setting) | {"precision": resolve_precision(setting.precision, self.device)},
        }

    def _views(self) -> Any:
        """A batch of random views on the device, in the form that the loop hands to a method."""
        shape = (self.setting.batch_size, 3, self.setting.view_size, self.setting.view_size)
        return torch.randn(shape, device=self.device).contiguous(memory_format=torch.channels_last)

    def _new_trainer(self, batches: ViewBatches, steps: int, name: str, **changes: Any) -> Trainer:
        recipe = self.setting.recipe() | {"images_seen": steps * self.setting.batch_size} | changes
        torch.manual_seed(0)
        method = methods.build(recipe, np.zeros((len(batches.photos), 1)))
        state = State(self.folder / name, recipe, name)
        return Trainer(
            recipe, method, batches, state, device=self.setting.device, workers=self.workers, checkpoint_seconds=1e9
        )

    def _alternative(self) -> dict[str, Callable[[int], None]]:
        """What the machine could do in another way: float32 where a CPU has bfloat16, a compiled step on a GPU."""
        if self.device.type == "cuda":
            streamed = self._whole(self.streamed, workers=self.setting.threads)
            return {"step_compiled": self._step_alone(compiled=True), "whole_streamed": streamed}
        return {"whole_fp32": self._whole(precision="fp32")} if self.setting.precision == "bf16" else {}

    def _step_alone(self, *, compiled: bool = False) -> Callable[[int], None]:
        """The loop's step on views that lie ready: no loader, no augmentation."""
        trainer = self._new_trainer(self.resident, 10**6, "step")
        query, key, batch = self._views(), self._views(), self.resident[0]
        trainer._augmented = lambda batch: (query, key)  # type: ignore[method-assign]
        if compiled:
            compile_backbones(trainer.method)

        def work(steps: int) -> None:
            for _ in range(steps):
                trainer._train_step(batch)
            self._wait()

        return work

    def _whole(
        self, batches: ViewBatches | None = None, *, workers: int | None = None, **changes: Any
    ) -> Callable[[int], None]:
        """The whole loop from the store to the optimiser, as `Trainer` runs it; no log, no checkpoint."""
        usual = batches is None and not changes
        batches = batches or self.resident
        trainer = self._new_trainer(batches, 10**6, "whole", **changes)
        workers = self.workers if workers is None else workers
        source = stream(batches, 0, 10**6, workers=workers, pin=self.device.type == "cuda")

        def work(steps: int) -> None:
            waited = 0.0
            for _ in range(steps):
                asked = time.perf_counter()
                batch = next(source)
                waited += time.perf_counter() - asked
                trainer._accumulate(trainer._train_step(batch))
            self._wait()
            if usual:
                self.waited.append(waited)

        return work

    def _loader(self, batches: ViewBatches) -> Callable[[int], None]:
        """Cut views in this process, so that its CPU time is seen; processes beside each other do as much each."""
        numbers = iter(range(10**9))

        def work(steps: int) -> None:
            for _ in range(steps):
                batches[next(numbers)]
            self._wait()

        return work

    def _augmentation(self) -> Callable[[int], None]:
        """Both views of a batch, on the device."""
        batch, settings = self.resident[0], augment.of_views({})

        def work(steps: int) -> None:
            for _ in range(steps):
                draws = augment.view_draws(0, batch.epoch, batch.item)
                for view, options, u in zip((batch.query, batch.key), settings, draws, strict=True):
                    parameters = augment.draw_parameters(options, u, self.setting.view_size)
                    augment.augment(view.to(self.device), parameters)
            self._wait()

        return work

    def _plain_loader(self) -> Callable[[int], None]:
        """The yardstick's work on a pair, in this process, so that its CPU time is seen."""
        source = yardstick.batches(self.plain_photos, self.setting.batch_size, 0, False)

        def work(steps: int) -> None:
            for _ in range(steps):
                next(source)

        return work

    def _plain(self) -> Callable[[int], None]:
        options = Options(queue=self.setting.queue)
        plain = yardstick.PlainMoCo(self.setting.recipe()["backbone"], options, self.device)
        source: Iterator[Any] = yardstick.batches(
            self.plain_photos, self.setting.batch_size, self.setting.threads, self.device.type == "cuda"
        )

        def work(steps: int) -> None:
            for _ in range(steps):
                plain.step(*next(source))

        return work

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _mean_kilobytes(self) -> float:
        index = pd.read_parquet(next((self.folder / "photos").rglob("*.index.parquet")))
        return float(index["bytes"].mean() / 1000)

    def flops(self) -> float:
        """Floating point operations of a training step, for one pair; a product and a sum count as two."""
        trainer = self._new_trainer(self.resident, 1, "flops")
        query, key = self._views(), self._views()
        with FlopCounterMode(display=False) as counter:
            loss, _ = trainer.method.train().loss(query, key, self.resident[0])
            loss.backward()
        return counter.get_total_flops() / self.setting.batch_size

    def peak(self) -> float:
        """Operations a second that the device can do: from its data sheet, else of a large matrix product."""
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name()
            for known, peak in PEAKS.items():
                if known in name:
                    return peak
        bf16 = resolve_precision(self.setting.precision, self.device) == "bf16"
        kind = torch.bfloat16 if bf16 else torch.float32
        a = torch.randn(2048, 2048, device=self.device).to(kind)
        seconds = []
        for _ in range(6):
            began = time.perf_counter()
            a @ a
            self._wait()
            seconds.append(time.perf_counter() - began)
        return 2 * 2048**3 / min(seconds)


def timed(work: Callable[[int], None], steps: int) -> tuple[float, float]:
    """Seconds on the clock and of this process' CPU time that `steps` steps take."""
    wall, cpu = time.perf_counter(), time.process_time()
    work(steps)
    return time.perf_counter() - wall, time.process_time() - cpu
