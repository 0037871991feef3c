"""A study's variants, files and paths as the rules ask for them."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path

import pytest

from oac import studies, study_files
from oac.configuration import ConfigError
from oac.pretrain import recipe as recipes
from oac.report import parts
from oac.workflow import StudyFiles

ROOT = Path(__file__).resolve().parents[1]
STUDIES, _ = study_files.load((ROOT / "config/studies").glob("*.yaml"))


def changed(name: str, *path_and_value) -> StudyFiles:
    """The files of a study with one value changed."""
    study = copy.deepcopy(STUDIES[name])
    *path, key, value = path_and_value
    part = study
    for step in path:
        part = part[step]
    part[key] = value
    return StudyFiles(study)


@pytest.fixture
def demo() -> StudyFiles:
    return StudyFiles(STUDIES["demo"])


def test_the_parameter_of_a_run_holds_its_whole_recipe(demo):
    text = demo.recipe_text("moco_v2", "object-dilate", "1")
    assert recipes.complete(json.loads(text)) == recipes.build(STUDIES["demo"], "moco_v2", "object-dilate", 1)
    assert demo.state_folder("moco_v2", "object-dilate", "1").endswith(recipes.digest(json.loads(text)))
    assert json.loads(demo.random_init_text("2"))["seed"] == 2


def test_a_network_of_timm_without_timm_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="timm/convnext_tiny needs timm"):
        changed("demo", "backbone", {"name": "timm/convnext_tiny"}).recipe_text("moco_v2", "scene-scene", "0")


def test_gpus_and_parts_share_the_splits_of_a_batch(demo):
    run, options = ("moco_v2", "scene-scene", "0"), STUDIES["demo"]["methods"]["moco_v2"]
    files = changed("demo", "methods", "moco_v2", options | {"bn_splits": 4, "batch_size": 64, "accumulate": 2})
    assert (demo.parts_of_a_batch("moco_v2"), files.parts_of_a_batch("moco_v2")) == (1, 2)
    assert files.shared_recipe_text(2, *run) == files.recipe_text(*run)
    with pytest.raises(ConfigError, match=r"bn_splits of moco_v2 is 4, .*multiple of 8"):
        files.shared_recipe_text(4, *run)


def test_weights_to_start_from_are_there_or_are_made_by_the_workflow(demo, tmp_path):
    assert demo.initial_weights() == []
    theirs = "results/voc07/pretrain/moco_v2/object-dilate/seed0/encoder.safetensors"
    (tmp_path / "weights.pth").touch()
    for file in (theirs, str(tmp_path / "weights.pth")):
        files = changed("demo", "pretrain", "init", file)
        assert files.initial_weights() == file
        assert json.loads(files.recipe_text("moco_v2", "object-dilate", "0"))["init"] == file
        assert "init" not in json.loads(files.random_init_text("0"))
    with pytest.raises(ConfigError, match=r"pretrain\.init .*nowhere\.pth does not exist"):
        changed("demo", "pretrain", "init", str(tmp_path / "nowhere.pth")).initial_weights()


@pytest.mark.parametrize(("method", "crops"), [("moco_v3", "scene-scene"), ("moco_v2", "object-dilat")])
def test_a_path_of_no_run_is_answered_with_what_there_is(demo, method, crops):
    with pytest.raises(ConfigError, match=r"study demo has no .*there are"):
        demo.recipe_text(method, crops, "0")


def test_every_run_has_a_probe_and_every_trained_one_a_history(demo):
    assert len(demo.probe_files("metrics.json")) == len(studies.runs(STUDIES["demo"])) == 26
    assert len(demo.histories()) == 22
    assert not any("random_init" in path for path in demo.histories())


def test_boxes_are_read_by_the_variants_that_crop_around_them(demo):
    assert demo.variant_boxes("scene-scene") == []
    assert demo.variant_boxes("none") == []
    assert demo.variant_boxes("object-dilate") == "results/demo/proposals/bing.parquet"
    sources = ("bing", "ground_truth", "random")
    assert demo.moco_boxes() == [f"results/demo/proposals/{source}.parquet" for source in sources]
    assert demo.recall_tables() == ["results/demo/proposals/bing.parquet", "results/demo/proposals/random.parquet"]
    assert (demo.recall(), demo.uncounted()) == ("results/demo/proposals/recall.json", [])
    photos = StudyFiles(STUDIES["my_photos"])
    assert photos.recall() == []
    assert photos.uncounted() == [f"results/my_photos/{name}.parquet" for name in ("data/images", "proposals/bing")]
    with pytest.raises(ConfigError, match=r"no proposals\.csv"):
        demo.table_source("csv")


@pytest.mark.parametrize(("study", "objects"), [("demo", True), ("my_labels", False), ("imagenet", False)])
def test_labels_of_whole_photos_are_no_objects(study, objects):
    """Their boxes are whole photos, which any box finds and which all have one size."""
    files = StudyFiles(STUDIES[study])
    shown = {Path(figure).stem for figure in files.figures()}
    of_objects = {"recall", "ap_by_size", "objects_per_image"}
    assert shown & of_objects == (of_objects if objects else set())
    assert bool(files.recall()) is objects


def test_photos_are_known_by_what_decides_them_and_by_nothing_else(demo):
    identity = demo.photo_identity()
    assert changed("demo", "data", "store", "max_missing_share", 0.5).photo_identity() == identity
    assert changed("demo", "data", "store", "shards", {"train": 9, "test": 9}).photo_identity() == identity
    assert changed("demo", "data", "store", "quality", 50).photo_identity() != identity
    assert changed("demo", "data", "synthetic", "test", 7).photo_identity() != identity
    assert (
        changed("voc07", "data", "location", "elsewhere").photo_identity()
        == StudyFiles(STUDIES["voc07"]).photo_identity()
    )


def test_a_part_without_defaults_is_completed_again(demo):
    for keys in (("probe",), ("data",), ("proposals", "bing"), ("pretrain",)):
        part = STUDIES["demo"]
        for key in keys:
            part = part[key]
        assert studies.completed(demo.given(*keys), *keys) == part
    assert "epochs" not in demo.given("probe")
    assert set(demo.subset_options()) == {"source", "synthetic", "subset", "shards"}


def test_a_missing_folder_is_named_before_any_job(demo):
    assert demo.photo_location() == "resources/demo/published"
    assert demo.downloads() == 0
    with pytest.raises(ConfigError, match=r"study voc07: data\.location nowhere is no folder"):
        changed("voc07", "data", "location", "nowhere").source_files()
    assert changed("ohms", "data", "location", "https://example.org/x").downloads() == 1


def test_shards_of_all_splits_and_of_some(demo):
    assert demo.shards() == ["train-000", "train-001", "validation-000", "test-000"]
    assert demo.shards("test") == ["test-000"]
    assert len(demo.shard_indexes()) == len(demo.proposal_shards("bing")) == 4


def test_a_study_shows_what_it_has():
    shown = {name: StudyFiles(study) for name, study in STUDIES.items()}
    assert "results/audit/report/tables/audit.md" in shown["audit"].tables()
    assert "results/demo/report/tables/audit.md" not in shown["demo"].tables()
    assert "results/ablations/report/figures/ablation_delta.png" in shown["ablations"].figures()
    assert "results/imagenet/report/figures/ap_per_class.png" in shown["imagenet"].figures()
    for name, several in (("demo_methods", False), ("demo", True)):
        overlap = {f"results/{name}/report/{file}" for file in ("figures/overlap.png", "tables/overlap.md")}
        assert overlap & {*shown[name].figures(), *shown[name].tables()} == (overlap if several else set())
    for files in shown.values():
        pages = {path.removesuffix("html") for path in files.report() if "/tables/" in path}
        assert pages == {path.removesuffix("md") for path in files.tables()}
        assert set(files.figures()) < set(files.report())


def test_the_page_opens_with_the_table_that_leaves_no_method_out(demo):
    main = {name: StudyFiles(STUDIES[name]).main_table() for name in ("demo", "audit", "demo_methods", "imagenet")}
    assert main == {"demo": "crops", "audit": "audit", "demo_methods": "methods", "imagenet": "methods"}
    sections = [StudyFiles(STUDIES["demo_methods"]).section_of_table(name) for name in ("methods", "crops", "paper")]
    assert sections[0] == demo.section_of_table("crops") == parts.FOUND
    assert sections[1] == demo.section_of_table("methods") == parts.RESULTS
    assert sections[2] == parts.PAPER


def test_the_page_of_an_audit_opens_with_the_figure_of_its_effects(demo):
    audit = StudyFiles(STUDIES["audit"])
    sections = {name: audit.section_of_figure(name) for name in ("audit", "map_by_policy", "ablation_heads")}
    assert sections == {"audit": parts.FOUND, "map_by_policy": parts.RESULTS, "ablation_heads": parts.ABLATIONS}
    assert demo.section_of_figure("map_by_policy") == parts.FOUND
    assert audit.section_of_table("audit") == parts.FOUND
    assert audit.section_of_table("crops") == parts.RESULTS


def test_the_comparison_of_proposals_reads_long_lists(demo):
    assert demo.comparison_count() == 5000
    assert demo.comparison_tables() == ["results/demo/proposals/comparison/bing.parquet"]
    assert demo.comparison_shards("bing") == ["results/demo/proposals/comparison/bing/test-000.parquet"]
    both = changed("demo", "proposals", "comparison", "sources", ["ground_truth", "random", "bing"])
    assert both.comparison_tables() == [
        "results/demo/proposals/ground_truth.parquet",
        "results/demo/proposals/comparison/bing.parquet",
    ]


def test_table_1_takes_the_paper_s_rows():
    files = StudyFiles(STUDIES["imagenet"]).table1_metrics()
    assert "results/imagenet/probe/moco_v2/object-dilate/seed0/metrics.json" in files
    assert not any("random_init" in path for path in files)
