import copy
import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from oac import crop_options, studies, study_checks, study_files
from oac.pretrain import recipe as recipes
from oac.pretrain.recipe import build, canonical, digest

STUDY = {
    "name": "s",
    "data": {
        "source": "synthetic",
        "synthetic": {"seed": 0, "train": 10, "test": 5},
        "voc": {"train": "train", "test": "val"},
        "location": "a",
        "subset": {"min_classes_per_image": 2},
        "store": {"long_side": 64, "quality": 90, "shards": {"train": 2}},
    },
    "backbone": {"name": "narrow", "width": 8},
    "proposals": {"count": 10, "bing": {"max_images": 100}, "random": {"seed": 3}},
    "pretrain": {"view_size": 32, "images_seen": 1000, "precision": "auto", "augment": {"blur": 0.5, "hue": 0.1}},
    "methods": {
        "moco_v2": {"lr": 0.1, "batch_size": 64, "crops": "all"},
        "byol": {
            "lr": 0.1,
            "batch_size": 64,
            "crops": ["scene-scene", "true"],
            "seeds": [0],
            "augment": {"query": {"blur": 1.0}, "key": {"blur": 0.1, "solarize": 0.2}},
        },
        "supervised": {"lr": 0.1, "batch_size": 64, "crops": ["scene-scene"], "seeds": [0]},
        "random_init": {"crops": ["none"], "seeds": [0]},
    },
    "crops": {
        "scene-scene": {"policy": "scene-scene", "seeds": [0, 1]},
        "bing": {"policy": "object-dilate", "boxes": "bing", "seeds": [0]},
        "true": {"policy": "object-dilate", "boxes": "ground_truth", "seeds": [0]},
        "chance": {"policy": "object-dilate", "boxes": "random", "seeds": [0]},
    },
}
RUNS = [
    *(("moco_v2", crops, 0) for crops in STUDY["crops"]),
    ("byol", "scene-scene", 0),
    ("byol", "true", 0),
    ("supervised", "scene-scene", 0),
    ("random_init", "none", 0),
]


def changed(path, value):
    """The runs whose recipe differs after one value of the study has changed."""
    study = copy.deepcopy(STUDY)
    place = study
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return {f"{m}/{c}" for m, c, s in RUNS if digest(build(STUDY, m, c, s)) != digest(build(study, m, c, s))}


MOCO = {"moco_v2/scene-scene", "moco_v2/bing", "moco_v2/true", "moco_v2/chance"}
BYOL = {"byol/scene-scene", "byol/true"}
TRAINED = MOCO | BYOL | {"supervised/scene-scene"}


@pytest.mark.parametrize(
    ("path", "value", "affected"),
    [
        (("methods", "moco_v2", "lr"), 0.2, MOCO),
        (("methods", "supervised", "lr"), 0.2, {"supervised/scene-scene"}),
        (("methods", "moco_v2", "accumulate"), 4, set()),
        (("methods", "byol", "augment", "key", "solarize"), 0.3, BYOL),
        (("methods", "byol", "augment", "query"), {}, BYOL),
        (("pretrain", "augment", "hue"), 0.2, TRAINED),
        # Both views of byol have a value of their own.
        (("pretrain", "augment", "blur"), 0.2, TRAINED - BYOL),
        (("crops", "bing", "delta"), 0.2, {"moco_v2/bing"}),
        (("crops", "bing", "seeds"), [0, 1, 2], set()),
        (("methods", "supervised", "seeds"), [0, 1], set()),
        (("proposals", "count"), 5, {"moco_v2/bing", "moco_v2/chance"}),
        (("proposals", "bing", "max_images"), 50, {"moco_v2/bing", "moco_v2/chance"}),
        (("proposals", "random", "seed"), 4, {"moco_v2/chance"}),
        (("pretrain", "images_seen"), 2000, TRAINED),
        (("methods", "supervised", "images_seen"), 2000, {"supervised/scene-scene"}),
        (("backbone", "width"), 16, TRAINED | {"random_init/none"}),
        (("data", "synthetic", "seed"), 1, TRAINED),
        (("data", "synthetic", "test"), 9, set()),
        (("data", "voc", "test"), "val2", set()),
        (("data", "subset", "min_classes_per_image"), 1, TRAINED),
        (("data", "store", "long_side"), 128, TRAINED),
        (("data", "store", "shards", "train"), 3, set()),
        (("data", "location"), "b", set()),
    ],
)
def test_a_change_reaches_exactly_the_runs_it_concerns(path, value, affected):
    assert changed(path, value) == affected


def test_a_reference_with_a_budget_of_its_own_has_no_other():
    study = copy.deepcopy(STUDY)
    study["methods"]["supervised"]["images_seen"] = 2000
    recipe = build(study, "supervised", "scene-scene", 0)
    assert recipe["images_seen"] == 2000
    assert "images_seen" not in recipe["options"]
    assert build(study, "moco_v2", "scene-scene", 0)["images_seen"] == 1000


def test_overrides_of_a_method_are_merged_for_each_view_and_the_others_share_one_augmentation():
    assert build(STUDY, "moco_v2", "bing", 0)["augment"] == {"blur": 0.5, "hue": 0.1}
    recipe = build(STUDY, "byol", "true", 0)
    assert recipe["augment"] == {
        "query": {"blur": 1.0, "hue": 0.1},
        "key": {"blur": 0.1, "hue": 0.1, "solarize": 0.2},
    }
    assert "augment" not in recipe["options"]
    assert STUDY["pretrain"]["augment"] == {"blur": 0.5, "hue": 0.1}, "the study is not changed"


def test_the_text_is_canonical_and_the_hash_is_of_what_differs_from_the_defaults():
    recipe = build(STUDY, "moco_v2", "bing", 0)
    shuffled = dict(reversed(recipe.items()))
    assert canonical(recipe) == canonical(shuffled)
    assert json.loads(canonical(recipe)) == recipe
    text = canonical(recipes.differences(recipe))
    assert digest(recipe) == digest(shuffled) == hashlib.sha256(text.encode()).hexdigest()[:12]


def repository_studies():
    found, broken = study_files.load((Path(__file__).parents[2] / "config/studies").glob("*.yaml"))
    assert broken == {}
    return found


@pytest.mark.parametrize("study", repository_studies().values(), ids=lambda study: study["name"])
def test_what_differs_from_the_defaults_is_completed_to_the_whole_recipe(study):
    for run in studies.runs(study):
        recipe = build(study, *run)
        given = recipes.differences(recipe)
        assert recipes.complete(json.loads(canonical(given))) == recipe
        assert recipes.complete(recipe) == recipe
        assert run[0] in studies.FIXED_ENCODERS or len(canonical(given)) < 0.7 * len(canonical(recipe))


@pytest.mark.parametrize("part", ["method", "pretrain", "subset", "crops"])
def test_a_new_option_with_a_default_retrains_nothing(part, monkeypatch):
    study = repository_studies()["demo"]
    before = {run: digest(build(study, *run)) for run in studies.runs(study)}
    schema = copy.deepcopy(studies.schema())
    places = {
        "method": schema["properties"]["methods"]["properties"]["moco_v2"],
        "pretrain": schema["properties"]["pretrain"]["properties"]["augment"],
        "subset": schema["properties"]["data"]["properties"]["subset"],
    }
    if part == "crops":
        ratio = crop_options.OPTIONS["ratio"]
        new = dataclasses.replace(ratio, schema={"type": "integer"}, default=1)
        monkeypatch.setitem(crop_options.OPTIONS, "new", new)
    else:
        places[part]["properties"]["new"] = {"type": "integer", "default": 1}
    for module in (studies, study_checks, study_files):
        monkeypatch.setattr(module, "schema", lambda: schema)
    changed = study_files.read_study(Path(__file__).parents[2] / "config/studies/demo.yaml")
    assert {run: digest(build(changed, *run)) for run in studies.runs(changed)} == before
    assert '"new":1' in canonical(build(changed, "moco_v2", "scene-scene", 0))


def test_heads_and_budget_of_a_variant_stand_outside_of_its_crops():
    """Absent options leave a recipe as it was; given ones stand where the code reads them."""
    study = copy.deepcopy(STUDY)
    study["methods"]["moco_v2"]["heads"] = 1
    plain = build(study, "moco_v2", "bing", 0)
    study["data"]["boxes_per_photo"] = 4.5
    assert plain == build(study, "moco_v2", "bing", 0)
    study["crops"]["bing"] |= {"heads": 2, "budget": "boxes"}
    recipe = build(study, "moco_v2", "bing", 0)
    assert recipe["images_seen"] == 4500
    assert recipe["options"]["heads"] == 2
    assert recipe["crops"] == plain["crops"]
    del study["data"]["boxes_per_photo"]  # so it is counted when the photos are there
    counted = build(study, "moco_v2", "bing", 0)
    assert counted == recipe | {"images_seen": plain["images_seen"], "budget": "boxes"}
    assert digest(counted) not in (digest(plain), digest(recipe))
    study["crops"]["bing"] |= {"heads": 1, "budget": "photos"}
    assert build(study, "moco_v2", "bing", 0) == plain
    study["crops"]["true"]["heads"] = 2
    assert "heads" not in build(study, "byol", "true", 0)["options"], "other methods have no such heads"


def test_a_method_or_a_crop_variant_that_is_not_there_is_named():
    with pytest.raises(KeyError, match=r"object-dilat.*scene-scene, bing"):
        build(STUDY, "moco_v2", "object-dilat", 0)
    with pytest.raises(KeyError, match="swav"):
        build(STUDY, "swav", "bing", 0)
