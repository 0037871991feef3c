"""How long to wait before a server is asked again: as it asks, a pause that doubles at least, never for ever."""

from __future__ import annotations

import email.utils
import random
import re
import sys
import time

# In seconds.
FIRST_DELAY = 0.5
LONGEST_DELAY = 60.0
LONGEST_RETRY_AFTER = 600.0
LONG_WAIT = 30.0  # from here on a wait is worth a line in the log


def wait(attempt: int, asked: float | None, url: str) -> None:
    """Sleep before the attempt after the `attempt`-th, or as long as the server asked for where that is longer."""
    seconds = max(back_off(attempt), min(asked or 0.0, LONGEST_RETRY_AFTER))
    say_wait(url, seconds)
    time.sleep(seconds)


def say_wait(url: str, seconds: float) -> None:
    """Say on stderr why nothing happens for a while; short waits are not worth a line."""
    if seconds >= LONG_WAIT:
        print(f"{url}: waiting {seconds:.0f} s before asking again", file=sys.stderr, flush=True)


def back_off(attempt: int) -> float:
    """Seconds to wait after the `attempt`-th failure: doubling up to LONGEST_DELAY, with jitter."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0)


def retry_after(text: str | None) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or a date."""
    if not text:
        return None
    seconds = header_number(text)
    if seconds is not None:
        return float(seconds)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def header_number(text: str | None) -> int | None:
    """The number of a header line; a server may send anything there, and Python takes ² for a digit."""
    match = re.fullmatch(r"\s*([0-9]{1,18})\s*", text or "")
    return int(match[1]) if match else None
