"""A study that asks for augmented views gets them, and its finished encoders and features stay."""

from __future__ import annotations

import json


def test_views_are_embedded_and_nothing_else_is_done_again(finished, tmp_path):
    config = finished.changed({"probe.views": 2, "probe.ridge": True, "probe.jackknife": True}, tmp_path)
    target = "results/tiny/probe/moco_v2/scene-scene/seed0/metrics.json"
    assert finished.planned(target, config=config).jobs == {"extract_views": 1, "fit_probe": 1}


def test_a_probe_of_views_is_written(copied, tmp_path):
    config = copied.changed({"probe.views": 2, "probe.ridge": True, "probe.jackknife": True}, tmp_path)
    target = "results/tiny/probe/random_init/none/seed0/metrics.json"
    plain = json.loads((copied.folder / target).read_text())
    result = copied.run(target, config=config)
    assert result.code == 0, result.text
    views = json.loads((copied.folder / target).read_text())
    assert views["probe"]["views"] == 2
    assert views["recipe_hash"] == plain["recipe_hash"]
    assert {"ridge", "jackknife"} <= set(views)
    assert not {"ridge", "jackknife"} & set(plain)
