"""The table of encoders of a study without a probe: named for people, with the end of each training."""

from __future__ import annotations

import pytest

from oac.report.encoders import encoders_table
from oac.report.formats import markdown
from oac.report.results import Names

LINES = [
    {"recipe": {}, "device": "cpu"},
    {"step": 10, "images_seen": 640, "images_per_s": 64.0, "loss": 7.9, "chance": 7.63},
    {"step": 20, "images_seen": 1280, "images_per_s": 32.0, "loss": 7.57, "chance": 7.6},
]
HISTORIES = {"moco_v2/around/seed0": LINES, "byol/elsewhere/seed3": LINES}


def test_variants_go_by_their_labels_and_files_by_their_paths():
    names = Names("Birds", {"around": "object-dilate"})
    table = encoders_table("birds", names, HISTORIES)
    assert table.caption == "Birds, encoders"
    first, second = table.cells()
    file = "`results/birds/pretrain/moco_v2/around/seed0/encoder.safetensors`"
    assert first == ["MoCo-v2", "object-dilate", "0", "1,280", "7.57 (7.60)", "0:00:30", "48", file]
    assert second[:3] == ["BYOL", "elsewhere", "3"], "without a label there is the key"
    assert "birds/pretrain/byol/elsewhere/seed3" in markdown(table)


def test_a_study_that_trains_nothing_has_none():
    with pytest.raises(ValueError, match="birds trains nothing"):
        encoders_table("birds", Names("Birds"), {})
