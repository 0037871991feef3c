"""The audit from its rules: variants with every option are trained, probed and compared with the paper."""

import json

import pandas as pd

REPORT = "results/tiny/report"
DILATE = {"policy": "object-dilate", "boxes": "bing", "seeds": [0]}
RELEASED = {
    "boxes": "ground_truth",
    "dilation": "coordinate",
    "delta": 0.2,
    "items": "box",
    "scales": [[0.0, 1.0], [0.2, 1.0]],
    "smallest_box": "released",
}


def test_a_study_with_the_released_codes_options_runs_to_its_table_figure_and_check(copied, tmp_path):
    edits = {
        "methods.supervised": None,
        "probe.best_epoch": True,
        "probe.epochs": 4,
        "probe.milestones": [2],
        "crops": {
            "scene-scene": {"policy": "scene-scene", "seeds": [0]},
            "scene-scene-long": {"policy": "scene-scene", "budget": "boxes", "seeds": [0]},
            "published": {**DILATE, "heads": 2},
            "one-head": {**DILATE, "heads": 1},
            "released": {**DILATE, **RELEASED, "heads": 1},
            "released-two": {**DILATE, **RELEASED, "heads": 2},
        },
    }
    config = copied.changed(edits, tmp_path)
    targets = [f"{REPORT}/tables/audit.md", f"{REPORT}/figures/audit.png", f"{REPORT}/check.json"]
    targets += [f"{REPORT}/tables/ablation_heads.md", f"{REPORT}/figures/ablation_heads.png"]
    targets += [f"{REPORT}/figures/crops_released.png"]
    plan = copied.planned(*targets, config=config)
    assert "moco_v2 on scene-scene, seed 0" not in plan.trained, "absent options leave a finished run as it is"
    result = copied.run(*targets, "--cores", "2", config=config)
    assert result.code == 0, result.text

    table = pd.read_csv(copied.folder / REPORT / "tables/audit.csv").set_index(["option", "crops_before"])
    metrics = {
        crops: json.loads((copied.folder / f"results/tiny/probe/moco_v2/{crops}/seed0/metrics.json").read_text())
        for crops in edits["crops"]
    }
    heads = table.loc["heads"]
    assert set(heads.index) == {"published", "released-two"}
    effect = 100 * (metrics["one-head"]["map"] - metrics["published"]["map"])
    assert abs(heads.map_points["published"] - effect) < 1e-9
    images, boxes = (
        pd.read_parquet(copied.folder / f"results/tiny/data/{name}.parquet") for name in ("images", "boxes")
    )
    train = images[images["split"] == "train"]["image_id"]
    per_photo = boxes["image_id"].isin(train).sum() / len(train)
    assert per_photo > 2
    # Whole batches of 16; 256 as configured.
    assert table.loc[("budget", "scene-scene"), "images_seen_after"] == 256 * per_photo // 16 * 16
    assert metrics["released"]["best_epoch"]["best"]["map"] > 0
    check = json.loads((copied.folder / REPORT / "check.json").read_text())
    counts = check["counts"]
    assert counts["not comparable"] > 0
    assert counts["not comparable"] + counts["not run"] == len(check["values"]), "one seed has no interval"
    for target in targets:
        assert (copied.folder / target).stat().st_size > 300
