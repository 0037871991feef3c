from __future__ import annotations

import pytest

from oac import progress


def test_a_log_gets_one_line_per_interval(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    # Four seconds an item: a line is due at the third, sixth and ninth, and the tenth ends the loop.
    assert list(progress.track(iter("abcdefghij"), 10, "shard", interval=12)) == list("abcdefghij")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "shard: 3/10",
        "shard: 6/10",
        "shard: 9/10",
        "shard: 10/10",
    ]
    assert lines[1].endswith("0.2/s, 16 s left")
