"""A study that asks for augmented views gets them, and its finished encoders and features stay."""

from __future__ import annotations

import json


def test_views_are_embedded_and_nothing_else_is_done_again(finished, tmp_path):
    config = finished.changed({"probe.views": 2, "probe.ridge": True, "probe.bootstrap": 100}, tmp_path)
    target = "results/tiny/probe/moco_v2/scene-scene/seed0/metrics.json"
    assert finished.planned(target, config=config).jobs == {"extract_views": 1, "fit_probe": 1}


def test_a_probe_of_views_is_written(fresh, finished, tmp_path_factory):
    where = tmp_path_factory.mktemp("study")
    config = fresh.changed({"probe.views": 2, "probe.ridge": True, "probe.bootstrap": 100}, where)
    target = "results/tiny/probe/random/none/seed0/metrics.json"
    result = fresh.run(target, config=config)
    assert result.code == 0, result.text
    found = json.loads((fresh.folder / target).read_text())
    plain = json.loads((finished.folder / target).read_text())
    assert found["probe"]["views"] == 2
    assert found["recipe_hash"] == plain["recipe_hash"]
    assert {"ridge", "bootstrap"} <= set(found)
    assert not {"ridge", "bootstrap"} & set(plain)
