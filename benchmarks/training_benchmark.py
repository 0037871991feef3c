"""How fast training is on the machine at hand, beside a loop as it is commonly written (yardstick.py).

Both train MoCo-v2 on scene crops of the same photos out of the same store. Jobs that are compared are timed in turns
(timing.py).
"""

from __future__ import annotations

import importlib.util
import itertools
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

import yardstick
from machine import machine
from oac.pretrain import methods
from oac.pretrain.checkpoint import State
from oac.pretrain.crops import CropPolicy
from oac.pretrain.device_cut import DeviceCut
from oac.pretrain.host_photos import HostPhotos
from oac.pretrain.jpeg_photos import JpegPhotos
from oac.pretrain.loader import Batch, Boxes, ViewBatches, stream
from oac.pretrain.loop import Trainer, set_threads
from oac.pretrain.methods.moco import MoCoOptions
from oac.pretrain.photo_sources import open_photos
from oac.pretrain.precision import resolve_precision
from synthetic_photos import write_photos
from timing import Job, Times, interleave, ratio, stream_job
from training_setting import Setting

# Peak of dense bfloat16 products, from data sheets; where a device is not listed a large product is timed instead.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
AHEAD = 4  # batches that a worker of `stream` prepares in advance
ENDLESS = 10**6  # steps of a stream or a schedule that no turn comes to the end of


class TrainingBenchmark:
    """The project's training and the yardstick's over one store."""

    def __init__(self, setting: Setting, folder: Path):
        self.setting = setting
        self.device = torch.device(setting.device)
        self.on_gpu = self.device.type == "cuda"
        if self.on_gpu:
            torch.backends.cudnn.benchmark = True  # as a run has it
        else:
            set_threads(setting.threads)
        self.images = write_photos(folder, setting.photos, setting.photo_size)
        self.raw, self.photos, self.states = folder / "raw", folder / "photos", folder
        began = time.monotonic()
        self.resident = self._batches(
            open_photos(self.photos, self.images, self.device, threads=setting.threads, reduced=True)
        )
        self.decoding_seconds = time.monotonic() - began
        self.streamed = self._batches(HostPhotos(self.photos, self.images, resident_gib=0.0, reduced=True))
        self.plain_photos = yardstick.PlainPhotos(self.photos, self.images, setting.view_size)
        self.on_device = isinstance(self.resident.photos, DeviceCut)
        self.workers = setting.threads if self.on_gpu and not self.on_device else 0
        self.waited: list[float] = []  # seconds for data, in each turn of the whole loop

    def _batches(self, photos: HostPhotos | DeviceCut) -> ViewBatches:
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
        """Measure everything; return what bench.json holds."""
        training = {
            "plain": self._plain(),
            **self._lightly(),
            "whole": self._whole(),
            "step": self._step_alone(),
            **self._alternatives(),
        }
        # What one process does alone would take a GPU's benchmark most of its time.
        few = max(1, self.setting.steps // (8 if self.on_gpu else 1))
        loading = {
            "plain_loader": self._plain_loader(few),
            "resident": self._loader(self.resident, self.setting.steps),
            "augmentation": self._augmentation(),
            "streamed": self._loader(self.streamed, few),
        }
        arithmetic = {"flops_per_pair": self.flops(), "peak_flops": self.peak()}
        times: dict[str, Times] = {}
        for jobs in (training, loading):
            times |= interleave(jobs, self.setting.turns, warm_up=2, wall=self._clock)
        steps = {name: job.steps for name, job in (training | loading).items()}
        return arithmetic | self._numbers(times, steps, arithmetic["flops_per_pair"] / arithmetic["peak_flops"])

    def _numbers(self, times: dict[str, Times], steps: dict[str, int], peak_seconds: float) -> dict[str, Any]:
        """Rates of the fastest turns, and ratios turn by turn.

        steps: of a turn of each job; peak_seconds: what a pair takes at the peak of the arithmetic.
        """
        pairs = {name: self.setting.batch_size * count for name, count in steps.items()}
        wall = {name: [seconds / pairs[name] for seconds in job.wall] for name, job in times.items()}
        cpu = {name: [1000 * seconds / pairs[name] for seconds in job.cpu] for name, job in times.items()}
        rate = {name: 1 / min(seconds) for name, seconds in wall.items()}
        fair = [sum(both) for both in zip(cpu["resident"], cpu["augmentation"], strict=True)]
        return {
            "step_pairs_per_s": rate["step"],
            "loader_pairs_per_s": rate["resident"] * max(1, self.workers),
            "end_to_end_pairs_per_s": rate["whole"],
            "yardstick_pairs_per_s": rate["plain"],
            "end_to_end_ratio": ratio(wall["plain"], wall["whole"]),
            "lightly_pairs_per_s": rate.get("lightly"),
            "lightly_ratio": ratio(wall["lightly"], wall["whole"]) if "lightly" in wall else None,
            "end_to_end_fp32_pairs_per_s": rate.get("whole_fp32"),
            "eager_step_pairs_per_s": rate.get("step_eager"),
            "end_to_end_eager_pairs_per_s": rate.get("whole_eager"),
            "end_to_end_jpeg_pairs_per_s": rate.get("whole_jpeg"),
            "end_to_end_streamed_pairs_per_s": rate.get("whole_streamed"),
            "loader_cpu_ratio": ratio(cpu["plain_loader"], cpu["resident"]),
            "loader_and_augmentation_cpu_ratio": ratio(cpu["plain_loader"], fair),
            "streamed_loader_cpu_ratio": ratio(cpu["plain_loader"], cpu["streamed"]),
            "streamed_loader_pairs_per_s": rate["streamed"],
            "yardstick_loader_pairs_per_s": rate["plain_loader"],
            "cpu_ms_per_pair": {name: min(values) for name, values in cpu.items()},
            "step_share": ratio(wall["step"], wall["whole"]),
            "data_share": ratio(self.waited[-self.setting.turns :], times["whole"].wall),
            "mfu": rate["whole"] * peak_seconds,
            "step_mfu": rate["step"] * peak_seconds,
            "photos_on_device": self.on_device,
            "decoding_resident_photos_s": self.decoding_seconds,
            "mean_photo_kb": self._mean_kilobytes(),
            "turns": {name: [round(seconds, 4) for seconds in job.wall] for name, job in times.items()},
            "machine": machine(self.on_gpu),
            "setting": asdict(self.setting) | {"precision": resolve_precision(self.setting.precision, self.device)},
        }

    def _clock(self) -> float:
        """Seconds, read when the device has done what it was asked to."""
        if self.on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def _views(self) -> torch.Tensor:
        """A batch of random views on the device, in the form that the loop hands to a method."""
        shape = (self.setting.batch_size, 3, self.setting.view_size, self.setting.view_size)
        return torch.randn(shape, device=self.device).contiguous(memory_format=torch.channels_last)

    def _new_trainer(self, batches: ViewBatches, compile: bool = True, **changes: Any) -> Trainer:
        recipe = self.setting.recipe() | {"images_seen": ENDLESS * self.setting.batch_size} | changes
        torch.manual_seed(0)
        method = methods.build(recipe, np.zeros((len(batches.photos), 1)))
        state = State(self.states / "state", recipe, "benchmark")
        return Trainer(
            recipe,
            method,
            batches,
            state,
            device=self.setting.device,
            checkpoint_seconds=1e9,
            compile="on" if self.on_gpu and compile else "off",
        )

    def _alternatives(self) -> dict[str, Job]:
        """Other ways: float32 where a CPU has bfloat16; on a GPU uncompiled, and its other sources of pixels."""
        if self.on_gpu:
            jpeg = self._batches(JpegPhotos(self.photos, self.images, self.device))
            again = self._batches(open_photos(self.photos, self.images, self.device, threads=self.setting.threads))
            return {
                "step_eager": self._step_alone(compile=False),
                "whole_eager": self._whole(again, compile=False),
                "whole_jpeg": self._whole(jpeg, workers=0),
                "whole_streamed": self._whole(self.streamed, workers=self.setting.threads),
            }
        return {"whole_fp32": self._whole(precision="fp32")} if self.setting.precision == "bf16" else {}

    def _step_alone(self, *, compile: bool = True) -> Job:
        """The loop's step on views that lie ready: no loader, no augmentation."""
        trainer = self._new_trainer(self.resident, compile)
        query, key, batch = self._views(), self._views(), self.resident[0]
        trainer._augmented = lambda batch: (query, key)  # type: ignore[method-assign]
        return Job(lambda: trainer._train_step(batch), self.setting.steps)

    def _whole(
        self, batches: ViewBatches | None = None, *, workers: int | None = None, compile: bool = True, **changes: Any
    ) -> Job:
        """The whole loop from the store to the optimiser, as `Trainer` runs it; no log, no checkpoint."""
        usual = batches is None and not changes
        batches = batches or self.resident
        workers = self.workers if workers is None else workers
        trainer = self._new_trainer(batches, compile, **changes)

        def timed_stream() -> Iterator[Batch]:
            source = stream(batches, 0, ENDLESS, workers=workers, pin=self.on_gpu)
            while True:
                asked = time.perf_counter()
                batch = next(source)
                if usual:
                    self.waited[-1] += time.perf_counter() - asked
                yield batch

        def step(batch: Batch) -> None:
            trainer._accumulate(trainer._train_step(batch))

        job = stream_job(timed_stream, step, self.setting.steps, ahead=AHEAD * workers)

        def start() -> None:
            self.waited.append(0.0)
            job.start()
            self.waited[-1] = 0.0

        return replace(job, start=start) if usual else job

    def _loader(self, batches: ViewBatches, steps: int) -> Job:
        """Cut views in this process, so that its CPU time is seen; processes beside each other do as much each."""
        numbers = itertools.count()
        return Job(lambda: batches[next(numbers)], steps)

    def _augmentation(self) -> Job:
        """Both views of a batch, on the device."""
        trainer, batch = self._new_trainer(self.resident), self.resident[0]
        return Job(lambda: trainer._augmented(batch), self.setting.steps)

    def _plain_loader(self, steps: int) -> Job:
        """The yardstick's work on a pair, in this process, so that its CPU time is seen."""
        source = yardstick.batches(self.plain_photos, self.setting.batch_size, 0, False)
        return Job(lambda: next(source), steps)

    def _plain(self) -> Job:
        options = MoCoOptions(queue=self.setting.queue)
        plain = yardstick.PlainMoCo(self.setting.recipe()["backbone"], options, self.device)
        workers = self.setting.threads
        return stream_job(
            lambda: yardstick.batches(self.plain_photos, self.setting.batch_size, workers, self.on_gpu),
            lambda views: plain.step(*views),
            self.setting.steps,
            ahead=2 * workers,  # PyTorch's default
        )

    def _lightly(self) -> dict[str, Job]:
        """lightly's training of the same photos, where it is installed."""
        if importlib.util.find_spec("lightly") is None:
            return {}
        import lightly_yardstick

        options = MoCoOptions(queue=self.setting.queue)
        moco = lightly_yardstick.LightlyMoCo(self.setting.recipe()["backbone"], options, self.device)
        size, batch, workers = self.setting.view_size, self.setting.batch_size, self.setting.threads
        job = stream_job(
            lambda: lightly_yardstick.batches(self.raw, size, batch, workers),
            lambda views: moco.step(*views),
            self.setting.steps,
            ahead=2 * workers,
        )
        return {"lightly": job}

    def _mean_kilobytes(self) -> float:
        index = pd.read_parquet(next(self.photos.rglob("*.index.parquet")))
        return float(index["bytes"].mean() / 1000)

    def flops(self) -> float:
        """Floating point operations of a training step, for one pair; a product and a sum count as two."""
        trainer = self._new_trainer(self.resident)
        query, key = self._views(), self._views()
        with FlopCounterMode(display=False) as counter:
            loss, _ = trainer.method.train().loss(query, key, self.resident[0])
            loss.backward()
        return counter.get_total_flops() / self.setting.batch_size

    def peak(self) -> float:
        """Operations a second that the device can do: from its data sheet, else of a large matrix product."""
        known = [peak for gpu, peak in PEAKS.items() if self.on_gpu and gpu in torch.cuda.get_device_name()]
        if known:
            return known[0]
        bf16 = resolve_precision(self.setting.precision, self.device) == "bf16"
        a = torch.randn(2048, 2048, device=self.device).to(torch.bfloat16 if bf16 else torch.float32)
        product = interleave({"product": Job(lambda: a @ a)}, 6, wall=self._clock)["product"]
        return 2 * 2048**3 / min(product.wall)
