import ast
import copy
import hashlib
import json
import sys
from pathlib import Path

import pytest

import oac.pretrain
from oac.pretrain.recipe import RECIPE_VERSION, build, canonical, digest

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
            "augment": {"query": {"blur": 1.0}, "key": {"blur": 0.1, "solarise": 0.2}},
        },
        "supervised": {"lr": 0.1, "batch_size": 64, "crops": ["scene-scene"], "seeds": [0]},
        "random": {"crops": ["none"], "seeds": [0]},
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
    ("random", "none", 0),
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
        (("methods", "byol", "augment", "key", "solarise"), 0.3, BYOL),
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
        (("backbone", "width"), 16, TRAINED | {"random/none"}),
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
        "key": {"blur": 0.1, "hue": 0.1, "solarise": 0.2},
    }
    assert "augment" not in recipe["options"]
    assert STUDY["pretrain"]["augment"] == {"blur": 0.5, "hue": 0.1}, "the study is not changed"


def test_the_text_is_canonical_and_the_hash_is_of_it():
    recipe = build(STUDY, "moco_v2", "bing", 0)
    shuffled = dict(reversed(recipe.items()))
    assert canonical(recipe) == canonical(shuffled)
    assert json.loads(canonical(recipe)) == recipe
    assert digest(recipe) == hashlib.sha256(canonical(recipe).encode()).hexdigest()[:12]


def test_what_a_line_of_the_audit_sets_elsewhere_leaves_the_line():
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
    study["crops"]["bing"] |= {"heads": 1, "budget": "photos"}
    assert build(study, "moco_v2", "bing", 0) == plain
    study["crops"]["true"]["heads"] = 2
    assert "heads" not in build(study, "byol", "true", 0)["options"], "other methods have no such heads"


def test_a_method_or_a_crop_line_that_is_not_there_is_named():
    with pytest.raises(KeyError, match=r"object-dilat.*scene-scene, bing"):
        build(STUDY, "moco_v2", "object-dilat", 0)
    with pytest.raises(KeyError, match="swav"):
        build(STUDY, "swav", "bing", 0)


# The training code as of RECIPE_VERSION. When the next test fails: if a run of the same recipe now gives other
# weights, raise RECIPE_VERSION; in either case put the new value here.
TRAINING_CODE = {2: "5f566b74baf4260a"}


def code_hash() -> str:
    """Hash of the syntax trees of the pretraining package: comments, docstrings and layout do not count.

    Nor does the benchmark, which trains nothing that is kept.
    """
    folder = Path(oac.pretrain.__file__).parent
    trees = []
    for path in sorted(folder.rglob("*.py")):
        if path.parent.name == "bench":
            continue
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if (
                isinstance(body, list)
                and body
                and isinstance(body[0], ast.Expr)
                and isinstance(body[0].value, ast.Constant)
            ):
                body[0].value.value = ""
        trees.append(f"{path.relative_to(folder)} {ast.dump(tree)}")
    return hashlib.sha256("\n".join(trees).encode()).hexdigest()[:16]


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="syntax trees are written differently by each Python")
def test_changed_training_code_is_noticed():
    assert code_hash() == TRAINING_CODE[RECIPE_VERSION], (
        f"the code of oac.pretrain changed (now {code_hash()}): raise RECIPE_VERSION in recipe.py if trained weights "
        "change by it, and update TRAINING_CODE here"
    )
