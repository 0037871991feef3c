from __future__ import annotations

from statistics import fmean

import pytest

from oac.report.paper import DELTAS, VALUES, paper_value

BASELINES = [VALUES[method, "scene-scene", None] for method in ("cmc", "byol", "swav", "moco_v2")]


def test_the_papers_mean_gaps_follow_from_its_table():
    supervised = VALUES["supervised", None, None]
    gaps = {delta.what.rsplit(", ", 1)[-1]: delta.points for delta in DELTAS}
    assert fmean(supervised.map_percent - row.map_percent for row in BASELINES) == pytest.approx(
        gaps["OHMS"], abs=0.05
    )
    top1 = fmean((supervised.top1_percent or 0) - (row.top1_percent or 0) for row in BASELINES)
    assert top1 == pytest.approx(gaps["ImageNet"], abs=0.05)


def test_the_papers_deltas_follow_from_its_rows():
    scene = VALUES["moco_v2", "scene-scene", None].map_percent
    deltas = {delta.what: delta.points for delta in DELTAS}
    dilate, object_scene = (
        VALUES["moco_v2", policy, "bing"].map_percent for policy in ("object-dilate", "object-scene")
    )
    assert dilate - scene == pytest.approx(deltas["object-dilate over scene-scene, table"])
    assert object_scene - scene == pytest.approx(deltas["object-scene over scene-scene"])


def test_lookup_ignores_what_does_not_matter_and_invents_nothing():
    assert paper_value("moco_v2", "scene-scene", "bing") is VALUES["moco_v2", "scene-scene", None]
    assert paper_value("supervised", "scene-scene", None) is VALUES["supervised", None, None]
    assert paper_value("moco_v2", "object-dilate", "ground_truth") is None
    assert paper_value("byol", "object-dilate", "bing") is None
    assert paper_value("random_init", None, None) is None
