"""Variants of a study: what their runs say of them, and how they are named."""

from __future__ import annotations

import copy

import pytest

from oac.crop_options import crop_params
from oac.report.loading import load
from oac.report.results import BATCH_MAP, Variant, value_name


@pytest.fixture
def demo(metrics_of):
    return metrics_of("demo", lambda method, crops, seed: 0.3 + seed / 100)


def test_every_run_is_in_the_variant_of_its_method_and_crops(demo):
    results = load(demo)
    assert {variant.key for variant in results.variants} == {f"{run['method']}/{run['crops']}" for run in demo}
    assert sorted(map(id, results.runs())) == sorted(map(id, demo))
    for variant in results.variants:
        assert all((run["method"], run["crops"]) == (variant.method, variant.crops) for run in variant.runs.values())
        assert variant.values() == {seed: 100 * run["map"] for seed, run in variant.runs.items()}
        assert variant.values(BATCH_MAP) == {s: 100 * run["map_batch"]["256"] for s, run in variant.runs.items()}
        assert variant.values("best_epoch.last.map") == {
            seed: 100 * run["best_epoch"]["last"]["map"] for seed, run in variant.runs.items()
        }
        assert variant.values("best_epoch.last.unknown") == variant.values("unknown.map") == {}
    assert [variant.method for variant in results.of("supervised", "moco_v2")][:2] == ["supervised", "moco_v2"]


def test_options_are_the_recipes_with_defaults_and_heads(demo):
    for variant in load(demo).of("moco_v2"):
        recipe = next(iter(variant.runs.values()))["recipe"]
        heads = {} if variant.policy == "scene-scene" else {"heads": recipe["options"]["heads"]}
        assert variant.options == crop_params(recipe["crops"]) | heads
    # A recipe of a version that did not write defaults down says the same.
    short = copy.deepcopy(demo)
    for run in short:
        for key in ("dilation", "items", "smallest_box"):
            run["recipe"].get("crops", {}).pop(key, None)
    assert [one.options for one in load(short).variants] == [one.options for one in load(demo).variants]


def test_names_are_those_of_crops_references_and_methods(metrics_of):
    names = {variant.key: variant.name for variant in load(metrics_of("demo_methods", lambda *_: 0.3)).variants}
    assert names["moco_v2/object-dilate"] == "MoCo-v2, object-dilate (BING boxes)"
    assert names["moco_v2/scene-scene"] == "MoCo-v2, scene-scene"
    assert names["byol/object-dilate"] == "BYOL, object-dilate (BING boxes)"
    assert names["supervised/scene-scene"] == "Supervised"
    assert names["random_init/none"] == "Random initialisation"
    alone = {variant.key: variant.name for variant in load(metrics_of("demo", lambda *_: 0.3)).variants}
    assert alone["moco_v2/object-dilate"] == "object-dilate (BING boxes)", "beside references only"
    assert alone["supervised/scene-scene"] == "Supervised"


def test_a_reference_with_several_variants_is_named_by_its_crops_too(demo):
    more = [run | {"crops": "scene-08"} for run in demo if run["method"] == "supervised"]
    assert [one.name for one in load([*demo, *more]).of("supervised")] == [
        "Supervised, scene-scene",
        "Supervised, scene-08",
    ]


def test_boxes_of_scene_crops_and_crops_of_no_training_are_nothing():
    assert Variant.named("moco_v2", "scene", "scene-scene", "bing").boxes is None
    untrained = Variant.named("random_init", "none", "none", "none")
    assert (untrained.policy, untrained.boxes, untrained.trained, untrained.is_reference) == (None, None, False, True)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("boxes", "ground_truth", "ground truth"),
        ("scales", None, "s_min to 1"),
        ("scales", [[0.0, 1.0], [0.2, 1.0]], "0 to 1 and 0.2 to 1"),
        ("shift", [0.08, 0.1], "0.08 to 0.1"),
        ("items", "box", "boxes"),
        ("count", None, "all"),
        ("delta", 0.1, "0.1"),
        ("heads", 2, "2"),
    ],
)
def test_values_of_options_in_words(option, value, words):
    assert value_name(option, value) == words
