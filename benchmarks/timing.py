"""Times jobs that are compared in turns, and keeps what load on the machine cannot spoil.

Other work can only slow a job down. What holds on a busy machine too is a job's fastest turn, and the ratio of two
jobs that ran one after the other.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Job:
    """Something to time: a turn is `steps` calls of `step`; `start` before it and `stop` after it do not count."""

    step: Callable[[], Any]
    steps: int = 1
    start: Callable[[], Any] = lambda: None
    stop: Callable[[], Any] = lambda: None


@dataclass
class Times:
    """Seconds of each turn of a job, on the clock and of the processors, and what its last step returned."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    result: Any = None


def stream_job(
    stream: Callable[[], Iterator[Any]], step: Callable[[Any], Any], steps: int = 1, *, ahead: int = 0
) -> Job:
    """A job whose steps take the items of a stream; every turn opens it anew.

    ahead: items that worker processes prepare in advance. As many are used up before the turn starts, so that it
    does not profit from work that was done before it. The workers end with the turn and do not slow the next job.
    """
    opened: list[Iterator[Any]] = []

    def start() -> None:
        opened.append(stream())
        for _ in range(ahead):
            step(next(opened[0]))

    return Job(lambda: step(next(opened[0])), steps, start, opened.clear)


def interleave(
    jobs: Mapping[str, Job],
    turns: int,
    *,
    warm_up: int = 0,
    wall: Callable[[], float] = time.perf_counter,
    cpu: Callable[[], float] = time.process_time,
) -> dict[str, Times]:
    """Time the jobs one after the other, `turns` times: A B A B.

    warm_up: steps of each job that come first and do not count; wall, cpu: the clocks, in seconds.
    """
    times = {name: Times() for name in jobs}
    for job in jobs.values() if warm_up else ():
        job.start()
        for _ in range(warm_up):
            job.step()
        job.stop()
    for _ in range(turns):
        for name, job in jobs.items():
            job.start()
            wall_began, cpu_began = wall(), cpu()
            for _ in range(job.steps):
                times[name].result = job.step()
            times[name].wall.append(wall() - wall_began)
            times[name].cpu.append(cpu() - cpu_began)
            job.stop()
    return times


def ratio(numerators: Sequence[float], denominators: Sequence[float], digits: int = 3) -> dict[str, float]:
    """Median, smallest and largest of the ratios of two jobs' times, turn by turn."""
    ratios = [a / b for a, b in zip(numerators, denominators, strict=True)]
    shown = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
    return {name: round(value, digits) for name, value in shown.items()}
