"""Says how far a long loop is: a line per interval in a job's log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Iterable[Item], total: int, label: str, *, interval: float = 15.0) -> Iterator[Item]:
    """Yield the items, with a line on stderr per `interval` seconds.

    A line holds the count, the items per second since the start and the time left; the last item gets one.
    `total` must be right for the time left to be.
    """
    start = last = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= interval or count == total:
            last = now
            rate = count / max(now - start, 1e-9)
            left = (total - count) / rate
            print(f"{label}: {count}/{total}, {rate:.1f}/s, {left:.0f} s left", file=sys.stderr, flush=True)
