"""What a finished study holds, what it builds again after a change, and what it does not."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from oac.data.tables import PROPOSAL_COLUMNS

ROOT = Path(__file__).resolve().parents[2]
NOTHING = "Nothing to be done"
RUNS = [
    "moco_v2/scene-scene/seed0",
    "moco_v2/object-dilate/seed0",
    "supervised/scene-scene/seed0",
    "random_init/none/seed0",
]


def test_a_full_run_leaves_every_published_file(finished):
    results = finished.folder / "results/tiny"
    expected = [f"data/{name}" for name in ("images.parquet", "boxes.parquet", "classes.csv", "summary.json")]
    expected += [f"proposals/{name}" for name in ("bing.json", "bing.parquet", "random.parquet", "recall.json")]
    for run in RUNS:
        expected += [f"pretrain/{run}/{name}" for name in ("encoder.safetensors", "history.jsonl")]
        expected += [f"probe/{run}/{name}" for name in ("metrics.json", "ap.csv", "ap_by_size.csv")]
    tables = ("crops", "methods", "pairs", "paper", "runs")
    expected += [f"report/tables/{table}.{kind}" for table in tables for kind in ("csv", "md", "tex", "html")]
    figures = "map_by_policy ap_per_class ap_by_size ap_by_frequency training_curves recall images_per_class"
    figures += " objects_per_image crops_scene-scene crops_object-dilate"
    expected += [f"report/figures/{figure}.{kind}" for figure in figures.split() for kind in ("png", "pdf")]
    expected += ["report/verdicts.md", "report/summary.md"]
    missing = [name for name in expected if not (results / name).is_file() or not (results / name).stat().st_size]
    assert not missing


def test_the_manifest_lists_the_photos_that_the_archives_hold(finished):
    data = finished.folder / "results/tiny/data"
    images = pd.read_parquet(data / "images.parquet")
    assert list(images.columns) == ["image_id", "split", "width", "height", "shard"]
    assert images.sort_values(["split", "image_id"]).index.is_monotonic_increasing
    for (split, shard), part in images.groupby(["split", "shard"]):
        with tarfile.open(data / "photos" / split / f"{shard}.tar") as tar:
            assert set(tar.getnames()) == {f"{name}.jpg" for name in part["image_id"]}
            first = part.iloc[0]
            photo = Image.open(io.BytesIO(tar.extractfile(f"{first['image_id']}.jpg").read()))
            assert photo.size == (first["width"], first["height"])


def test_proposals_rank_from_zero_and_lie_in_the_photo(finished):
    table = pd.read_parquet(finished.folder / "results/tiny/proposals/bing.parquet")
    assert list(table.columns) == PROPOSAL_COLUMNS
    assert (table.groupby("image_id")["rank"].min() == 0).all()
    assert table.groupby("image_id").size().max() <= 10
    assert table[["xmin", "ymin"]].min().min() >= 0
    assert table[["xmax", "ymax"]].max().max() <= 1


def test_a_metrics_file_leads_back_to_its_recipe(finished):
    folder = finished.folder / "results/tiny"
    metrics = json.loads((folder / "probe/moco_v2/object-dilate/seed0/metrics.json").read_text())
    history = (folder / "pretrain/moco_v2/object-dilate/seed0/history.jsonl").read_text().splitlines()
    assert json.loads(history[0])["recipe"] == metrics["recipe"]
    assert json.loads(history[-1])["images_seen"] == metrics["images_seen"] == 256
    assert (metrics["policy"], metrics["boxes"]) == ("object-dilate", "bing")
    state = finished.folder / f"state/tiny-moco_v2-object-dilate-seed0-{metrics['recipe_hash']}"
    assert (state / "checkpoint.pt").is_file()
    ap = pd.read_csv(folder / "probe/moco_v2/object-dilate/seed0/ap.csv")["ap"]
    assert metrics["map"] == pytest.approx(np.nanmean(ap))
    assert metrics["classes"] == ap.notna().sum()


def test_a_second_run_has_nothing_to_do(finished):
    assert NOTHING in finished.planned().text


def test_a_server_is_asked_again_as_the_page_says(finished):
    page = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    [rules] = re.findall(r"^snakemake results/ohms/data/images\.parquet --forcerun (.+)$", page, re.MULTILINE)
    target = "results/tiny/data/images.parquet"
    assert finished.planned(target).jobs == {}
    plan = finished.planned(target, "--forcerun", *rules.split())
    assert plan.jobs["download_annotations"] == 7
    assert plan.jobs["store_photos"] == 4
    assert plan.jobs["select_subset"] == 1
    assert "make_release" not in plan.jobs
    plan = finished.planned(target, "--forcerun", "store_photos")
    assert set(plan.jobs) == {"store_photos", "collect_images"}


@pytest.mark.parametrize(
    "file", ["src/oac/pretrain/loop.py", "workflow/scripts/pretrain.py", "workflow/scripts/probe.py"]
)
def test_a_comment_in_the_code_builds_nothing(finished, file):
    path = finished.repo / file
    before = path.read_text()
    try:
        path.write_text(before + "\n# A comment.\n")
        assert NOTHING in finished.planned().text
    finally:
        path.write_text(before)


@pytest.mark.parametrize(
    "change",
    [
        {"data.store.max_missing_share": 0.5},
        # Defaults, written out: an option that came later and is not given is as one that is.
        {"probe.task": "multi_label", "probe.best_epoch": False, "probe.ridge": False},
        {"data.subset.passes": "one", "proposals.bing.negatives": 100, "pretrain.augment.solarize": 0.0},
    ],
    ids=["tolerance", "probe", "defaults"],
)
def test_what_changes_no_file_builds_nothing(finished, tmp_path, change):
    assert NOTHING in finished.planned(config=finished.changed(change, tmp_path)).text


def test_another_learning_rate_retrains_exactly_the_runs_of_its_method(finished, tmp_path):
    plan = finished.planned(config=finished.changed({"methods.moco_v2.lr": 0.05}, tmp_path))
    assert plan.trained == {"moco_v2 on scene-scene, seed 0", "moco_v2 on object-dilate, seed 0"}
    assert plan.jobs["extract_features"] == plan.jobs["fit_probe"] == 2
    assert not {"initialise_encoder", "train_bing", "store_photos"} & set(plan.jobs)


def test_a_crop_option_retrains_exactly_its_variant(finished, tmp_path):
    plan = finished.planned(config=finished.changed({"crops.object-dilate.delta": 0.2}, tmp_path))
    assert plan.trained == {"moco_v2 on object-dilate, seed 0"}


def test_another_number_of_proposals_leaves_variants_without_boxes_alone(finished, tmp_path):
    plan = finished.planned(config=finished.changed({"proposals.count": 5}, tmp_path))
    assert plan.trained == {"moco_v2 on object-dilate, seed 0"}
    assert "train_bing" not in plan.jobs


def test_an_option_of_the_random_boxes_retrains_nothing(finished, tmp_path):
    plan = finished.planned(config=finished.changed({"proposals.random": {"seed": 7}}, tmp_path))
    assert plan.trained == set()
    assert plan.jobs["propose_from_table"] == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [("data.subset.min_images_per_class", 5), ("data.store.quality", 70), ("data.synthetic.size", 80)],
)
def test_other_photos_or_boxes_reach_everything_made_of_them(finished, tmp_path, option, value):
    plan = finished.planned(config=finished.changed({option: value}, tmp_path))
    assert plan.jobs["store_photos"] == 4
    assert plan.jobs["extract_features"] == plan.jobs["fit_probe"] == len(RUNS)
    assert {"train_bing", "propose_shard"} <= set(plan.jobs)
    assert ("select_subset" in plan.jobs) == (option != "data.store.quality")
    assert len(plan.trained) == 3


def test_other_test_photos_retrain_nothing(finished, tmp_path):
    plan = finished.planned(config=finished.changed({"data.synthetic.test": 20}, tmp_path))
    assert plan.jobs["fit_probe"] == len(RUNS)
    recipes = {path.name for path in (finished.folder / "state").iterdir()}
    assert all(any(part in name for name in recipes) for part in re.findall(r"state/([\w-]+)\)", plan.text))


def test_an_interrupted_rebuild_is_taken_up_where_the_tables_came_out_alike(copied, tmp_path):
    """images.parquet has the same rows for photos of another quality; what reads photos must run all the same."""
    config = copied.changed({"data.store.quality": 70}, tmp_path)
    before = pd.read_parquet(copied.folder / "results/tiny/data/images.parquet")
    assert copied.run("results/tiny/data/images.parquet", config=config).code == 0
    assert pd.read_parquet(copied.folder / "results/tiny/data/images.parquet").equals(before)
    plan = copied.planned(config=config)
    assert {"train_bing", "propose_shard", "draw_contact_sheet"} <= set(plan.jobs)
    assert plan.jobs["extract_features"] == len(RUNS)
    assert len(plan.trained) == 3


def test_a_new_crop_variant_trains_exactly_one_variant(finished, tmp_path):
    crops = {"policy": "object-scene", "boxes": "ground_truth", "seeds": [0]}
    plan = finished.planned(config=finished.changed({"crops.my-crop": crops}, tmp_path))
    assert plan.trained == {"moco_v2 on my-crop, seed 0"}
    assert plan.jobs["extract_features"] == plan.jobs["fit_probe"] == plan.jobs["propose_from_table"] == 1
    assert not {"select_subset", "store_photos", "train_bing", "propose_shard"} & set(plan.jobs)


def test_another_probe_trains_and_embeds_nothing(finished, tmp_path):
    plan = finished.planned(config=finished.changed({"probe.weight_decays": [0.01]}, tmp_path))
    assert plan.jobs["fit_probe"] == len(RUNS)
    assert not {"pretrain", "initialise_encoder", "extract_features"} & set(plan.jobs)


def test_a_lost_encoder_comes_back_from_its_checkpoint_to_the_bit(copied):
    encoder = copied.folder / "results/tiny/pretrain/moco_v2/scene-scene/seed0/encoder.safetensors"
    log = copied.folder / "logs/tiny/pretrain/moco_v2/scene-scene/seed0.log"
    before = encoder.read_bytes()
    encoder.unlink()
    result = copied.run(str(encoder.relative_to(copied.folder)))
    assert result.code == 0, result.text
    assert encoder.read_bytes() == before
    assert "step" not in log.read_text()


def test_filters_that_leave_nothing_name_the_step_and_keep_what_was_there(copied, tmp_path):
    data = copied.folder / "results/tiny/data"
    before = {path: path.read_bytes() for path in data.iterdir() if path.is_file()}
    config = copied.changed({"data.subset.class_list": ["Striped square"]}, tmp_path)
    result = copied.run(config=config)
    assert result.code != 0
    assert "error: " in result.text
    assert "no train images" in result.text
    assert "Traceback" not in result.text
    assert {path: path.read_bytes() for path in before} == before
    # With the old filters again it is enough to try them: nothing that was built is built anew.
    assert copied.run("resources/tiny/subset_checked.json").code == 0
    assert NOTHING in copied.planned().text


def test_photos_of_several_labels_are_refused_before_any_is_stored(fresh, tmp_path):
    config = fresh.changed({"probe.task": "single_label"}, tmp_path)
    result = fresh.run("results/tiny/data/images.parquet", config=config)
    assert result.code != 0
    assert re.search(r"error: probe\.task is single_label, but ([0-9]+) of \1 photos do not", result.text)
    assert "Traceback" not in result.text
    assert not (fresh.folder / "results/tiny/data/photos").exists()


def test_a_study_without_boxes_says_so(finished, fresh, tmp_path):
    source = finished.folder / "resources/tiny/published"
    release = tmp_path / "release"
    for path in source.rglob("*.csv"):
        target = release / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines(keepends=True)
        target.write_text(lines[0] if path.name.endswith("-bbox.csv") else "".join(lines))
    edits = {"name": "empty", "data.source": "openimages", "data.synthetic": None, "data.location": release.as_uri()}
    result = fresh.run("data", config=fresh.changed(edits, tmp_path))
    assert result.code != 0
    assert "not one box" in result.text
    assert "Traceback" not in result.text


def test_the_html_report_shows_tables_and_figures(finished, tmp_path):
    page = tmp_path / "report.html"
    result = finished.run("--report", str(page), "report")
    assert result.code == 0, result.text
    text = page.read_text()
    for shown in ("map_by_policy.png", "crops_object-dilate.png", "crops.html", "verdicts.html"):
        assert shown in text
