"""Study files: schema, defaults, errors, and that the files of the repository are whole."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from oac import configuration, crop_options, studies, study_checks, study_files
from oac.data.selection import Options
from oac.data.tables import LEAST_MATCHED
from oac.pretrain import recipe
from oac.pretrain.augment import Augmentation
from oac.pretrain.methods import byol, cmc, moco, swav
from oac.pretrain.optimizer import OptimizerOptions
from oac.workflow import StudyFiles

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "tests/config/tiny.yaml"


@pytest.fixture
def load(tmp_path):
    """Load a study, by default the tiny one, with text replaced."""

    def load(*replacements: tuple[str, str], file: Path = TINY) -> dict[str, Any]:
        text = file.read_text()
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / file.name).write_text(text)
        return study_files.read_study(tmp_path / file.name)

    return load


def whole(files) -> dict[str, dict[str, Any]]:
    """Load study files none of which is broken."""
    found, broken = study_files.load(files)
    assert broken == {}
    return found


def properties(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that a schema knows, at every depth."""
    known = schema.get("properties", {}) | schema.get("patternProperties", {})
    for key, part in known.items():
        yield f"{path}.{key}", part
        yield from properties(part, f"{path}.{key}")


@pytest.mark.parametrize("schema", [studies.config_schema(), studies.schema()], ids=["config", "study"])
def test_every_key_is_described_and_no_other_is_allowed(schema):
    known = list(properties(schema))
    assert len(known) > 3
    assert [path for path, part in known if not part.get("description")] == []
    mappings = [("", schema), *((path, part) for path, part in known if part.get("type") == "object")]
    # `method_options` has the keys of the methods that it is for, a part of `grid` those of a study; both are checked
    # with what they are put into.
    mappings = [
        (path, part) for path, part in mappings if not path.endswith("method_options") and "grid." not in path
    ]
    assert [path for path, part in mappings if part.get("additionalProperties") is not False] == []


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("data.subset", [Options]),
        ("pretrain.augment", [Augmentation]),
        ("methods.moco_v2", [moco.MoCoOptions, OptimizerOptions]),
        ("methods.supervised", [OptimizerOptions]),
        ("methods.byol", [byol.BYOLOptions]),
        ("methods.swav", [swav.SwAVOptions]),
        ("methods.cmc", [cmc.CMCOptions]),
    ],
)
def test_defaults_of_the_schema_are_those_of_the_code(path, options):
    known = {name.split(".")[-1]: part for name, part in properties(studies.schema()) if in_part(name, path)}
    for option in options:
        for field in fields(option):
            if field.name not in known:
                assert option is OptimizerOptions, "every option of a method is a key of the study"
                continue
            if field.default is MISSING or "default" not in known[field.name]:
                continue
            expected = list(field.default) if isinstance(field.default, tuple) else field.default
            assert known[field.name]["default"] == pytest.approx(expected), field.name


def test_the_coverage_that_is_asked_for_is_one_number_for_every_table():
    known = studies.schema()["properties"]["proposals"]["properties"]["csv"]["properties"]
    assert known["min_coverage"]["default"] == LEAST_MATCHED


def in_part(name: str, path: str) -> bool:
    """Whether a dotted key lies directly in the part of the schema."""
    return name.rpartition(".")[0] == f".{path}"


def test_all_study_files_load_and_have_a_recipe_for_each_run():
    files = [*(ROOT / "config/studies").glob("*.yaml"), TINY]
    for study in whole(files).values():
        runs = studies.runs(study)
        digests = {recipe.digest(recipe.build(study, *run)) for run in runs}
        assert len(digests) == len(runs) > 0


def test_a_mistake_is_named_in_the_file_that_it_was_made_in_and_stops_no_other_study(tmp_path):
    text = TINY.read_text().replace("name: tiny", "name: tiny\nwrong: 1", 1)
    (tmp_path / "tiny.yaml").write_text(text)
    (tmp_path / "earlier.yaml").write_text("name: earlier\nextends: tiny\n")
    (tmp_path / "sound.yaml").write_text(TINY.read_text().replace("name: tiny", "name: sound"))
    found, broken = study_files.load(tmp_path.glob("*.yaml"))
    assert list(found) == ["sound"]
    assert list(broken) == ["earlier", "tiny"]
    for name in broken:
        with pytest.raises(configuration.ConfigError, match=r"tiny\.yaml: unknown key wrong"):
            study_files.find(found, name, broken)
    (tmp_path / "tiny.yaml").write_text(text.replace("wrong: 1\n", ""))
    assert list(whole(tmp_path.glob("*.yaml"))) == ["earlier", "sound", "tiny"]


def test_a_file_that_is_not_utf_8_is_named(tmp_path):
    (tmp_path / "tiny.yaml").write_bytes("name: tiny\ndescription: grün\n".encode("latin-1"))
    with pytest.raises(configuration.ConfigError, match=r"tiny\.yaml"):
        configuration.read_yaml(tmp_path / "tiny.yaml")


@pytest.mark.parametrize(("first", "second"), itertools.product(("extends", "setup_from"), repeat=2))
def test_two_studies_that_take_from_each_other_are_refused(tmp_path, first, second):
    (tmp_path / "a.yaml").write_text(f"name: a\n{first}: b\n")
    (tmp_path / "b.yaml").write_text(f"name: b\n{second}: a\n")
    (tmp_path / "c.yaml").write_text("name: c\nsetup_from: c\n")
    found, broken = study_files.load(tmp_path.glob("*.yaml"))
    assert not found
    assert "which has" in broken["a"] + broken["b"]
    assert "c, which has setup_from itself" in broken["c"]


def test_two_files_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tiny.yaml").write_text(TINY.read_text())
    with pytest.raises(configuration.ConfigError, match="the name tiny too"):
        study_files.load(tmp_path.glob("*/tiny.yaml"))


def test_a_configuration_may_name_a_study_whose_file_is_broken():
    config = {"studies": ["demo"], "paper_studies": [], "table1": {"imagenet": "demo"}}
    study_files.check_names(config, {}, ["demo"])


def test_the_configuration_names_studies_that_exist():
    config = configuration.checked(
        configuration.read_yaml(ROOT / "config/config.yaml"),
        studies.config_schema(),
        "config.yaml",
    )
    study_files.check_names(config, whole((ROOT / "config/studies").glob("*.yaml")))
    with pytest.raises(configuration.ConfigError, match=r"studies names nowhere, but there are the studies demo"):
        study_files.check_names({**config, "studies": ["nowhere"]}, {"demo": {}})
    with pytest.raises(configuration.ConfigError, match=r"studies names dem \(did you mean demo\?\), but"):
        study_files.check_names({**config, "studies": ["dem"]}, {"demo": {}})
    schema = studies.config_schema()
    with pytest.raises(configuration.ConfigError, match=r"c\.yaml: gpu must be auto or of type integer, not 'two'"):
        configuration.checked(config | {"gpu": "two"}, schema, "c.yaml")


def test_table_1_joins_studies_that_have_its_columns(load):
    schema = studies.config_schema()
    known = {"many": load(), "one": load(("  squeeze: true\n", "  squeeze: true\n  task: single_label\n"))}

    def names(table1):
        study_files.check_names(configuration.checked({"studies": []} | table1, schema, "config.yaml"), known)

    names({"table1": {"ohms": "many", "imagenet": "one"}})
    names({"table1": {"ohms": "one", "imagenet": None}})
    names({})
    with pytest.raises(
        configuration.ConfigError, match=r"table1.ohms names ohms, but there are the studies many, one"
    ):
        names({"table1": {"ohms": "ohms"}})
    with pytest.raises(
        configuration.ConfigError, match=r"imagenet names many, whose probe has no top-1 accuracy: set `pr"
    ):
        names({"table1": {"imagenet": "many"}})


def test_the_best_epoch_of_the_released_probe_is_for_many_labels(load):
    edit = "  squeeze: true\n  best_epoch: true\n"
    load(("  squeeze: true\n", edit))
    with pytest.raises(
        configuration.ConfigError, match=r"probe.best_epoch has no meaning with task: single_label; remove"
    ):
        load(("  squeeze: true\n", edit + "  task: single_label\n"))


def test_the_imagenet_study_is_of_the_published_size():
    study = whole((ROOT / "config/studies").glob("*.yaml"))["imagenet"]
    of = {(method, crops): recipe.build(study, method, crops, 0) for method, crops, _ in studies.runs(study)}
    budgets = {method: made["images_seen"] for (method, _), made in of.items() if "images_seen" in made}
    assert budgets.pop("supervised") == 45 * 1_281_167  # two samples a photo
    assert set(budgets.values()) == {200 * 1_281_167}
    assert study["probe"]["task"] == of["supervised", "scene-008"]["options"]["objective"] == "single_label"
    for view in of["supervised", "scene-008"]["augment"].values():
        assert Augmentation(**view).jitter == Augmentation(**view).blur == Augmentation(**view).grayscale == 0
    assert of["moco_v2", "object-dilate"]["options"]["heads"] == 2
    assert of["moco_v2", "object-dilate"]["proposals"]["bing"]["weights"] == "packaged"
    ranges = {method: made["crops"].get("scene_scale") for (method, _), made in of.items() if "crops" in made}
    assert ranges["byol"] == ranges["cmc"] == [0.08, 1.0]
    assert ranges["swav"] == [0.14, 1.0]


def test_an_unknown_study_is_answered_with_the_nearest_name_and_all_there_are():
    many = {"name": "many", "grid": {"a": {}, "b": {}}}
    known = {"demo": {"name": "demo", "grid": {}}, "voc07": {"grid": {}}, "many": many, "many_a": {"grid": {}}}
    assert study_files.find(known, "many_a", {}) == {"grid": {}}
    with pytest.raises(
        configuration.ConfigError, match=r"no study 'dmeo' \(did you mean demo\?\): there are demo, voc07, many$"
    ):
        study_files.find(known, "dmeo", {})
    with pytest.raises(configuration.ConfigError, match=r"no study 'imagenet': there are demo, voc07, many$"):
        study_files.find(known, "imagenet", {})


def test_a_study_has_the_setup_of_another_where_it_says_nothing(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY.read_text())
    own = {
        "name": "other",
        "setup_from": "tiny",
        "description": "Another.",
        "pretrain": {"images_seen": 64},
        "methods": {"supervised": None, "moco_v2": {"queue": 16}},
        "crops": {"scene-scene": {"policy": "scene-scene", "seeds": [4]}},
    }
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(own))
    found = whole([tmp_path / "tiny.yaml", tmp_path / "other.yaml"])
    other, parent = found["other"], found["tiny"]
    assert other["data"] == parent["data"]
    assert other["pretrain"] == parent["pretrain"] | {"images_seen": 64}
    assert other["methods"]["moco_v2"] == parent["methods"]["moco_v2"] | {"queue": 16}
    assert list(other["methods"]) == ["moco_v2", "random_init"]
    assert list(other["crops"]) == ["scene-scene"]
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(own | {"setup_from": "tinny"}))
    with pytest.raises(configuration.ConfigError, match=r"setup_from is tinny, but the other studies are tiny"):
        study_files.read_study(tmp_path / "other.yaml")
    (tmp_path / "third.yaml").write_text(yaml.safe_dump(own | {"name": "third", "setup_from": "other"}))
    with pytest.raises(configuration.ConfigError, match="setup_from names other, which has setup_from itself"):
        study_files.read_study(tmp_path / "third.yaml")


def test_a_study_that_extends_another_is_it_but_for_what_it_says(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY.read_text())
    lines = {
        "scene-scene": {"policy": "scene-scene", "seeds": [4]},
        "dilate": {"policy": "object-dilate", "boxes": "bing", "seeds": [4]},
    }
    first = {"name": "first", "setup_from": "tiny", "description": "One.", "crops": lines}
    first["methods"] = {"supervised": None, "moco_v2": {"queue": 16}}
    second = {"name": "second", "extends": "first", "description": "Two."}
    second["crops"] = {"dilate": {"delta": 0.2}, "more": lines["scene-scene"]}
    second["methods"] = {"random_init": None}
    for study in (first, second):
        (tmp_path / f"{study['name']}.yaml").write_text(yaml.safe_dump(study))
    found = whole(tmp_path.glob("*.yaml"))
    assert list(found["first"]["methods"]) == ["moco_v2", "random_init"]
    assert list(found["second"]["methods"]) == ["moco_v2"], "a null of either file takes a method away"
    assert found["second"]["methods"]["moco_v2"]["queue"] == 16
    assert set(found["second"]["crops"]) == {"scene-scene", "dilate", "more"}
    assert found["second"]["crops"]["dilate"] == found["first"]["crops"]["dilate"] | {"delta": 0.2}
    assert found["second"]["data"] == found["tiny"]["data"]
    second["crops"] = {"dilate": None}
    (tmp_path / "second.yaml").write_text(yaml.safe_dump(second))
    assert list(whole(tmp_path.glob("*.yaml"))["second"]["crops"]) == ["scene-scene"]
    (tmp_path / "third.yaml").write_text(yaml.safe_dump(second | {"name": "third", "extends": "second"}))
    with pytest.raises(configuration.ConfigError, match="extends names second, which has extends itself"):
        study_files.read_study(tmp_path / "third.yaml")
    (tmp_path / "third.yaml").write_text(yaml.safe_dump(second | {"name": "third", "extends": "fist"}))
    with pytest.raises(
        configuration.ConfigError, match="extends is fist, but the other studies are first, second, tiny"
    ):
        study_files.read_study(tmp_path / "third.yaml")


def test_titles_and_labels_are_for_people_and_change_no_recipe(load):
    plain = load()
    named = load(
        ("name: tiny\n", "name: tiny\ntitle: A small one\n"),
        ("{policy: object-dilate,", "{label: Around objects, policy: object-dilate,"),
    )
    assert (studies.title(plain), studies.title(named)) == ("Tiny", "A small one")
    assert studies.labels(named)["object-dilate"] == "Around objects"
    assert studies.labels(plain)["object-dilate"].startswith("object-dilate")
    texts = [
        [StudyFiles(study).recipe_text(*map(str, run)) for run in studies.runs(study)] for study in (plain, named)
    ]
    assert texts[0] == texts[1]
    assert StudyFiles(named).crop_params("object-dilate") == StudyFiles(plain).crop_params("object-dilate")


def test_a_title_is_not_taken_from_another_file(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY.read_text().replace("name: tiny\n", "name: tiny\ntitle: A small one\n"))
    for key in ("setup_from", "extends"):
        study = {"name": f"by_{key}", key: "tiny", "description": "Another."}
        if key == "setup_from":
            study |= {"crops": {"scene-scene": {"policy": "scene-scene", "seeds": [0]}}}
            study |= {"methods": {"supervised": None}}
        (tmp_path / f"by_{key}.yaml").write_text(yaml.safe_dump(study))
    found = whole(tmp_path.glob("*.yaml"))
    assert {studies.title(study) for study in found.values()} == {"A small one", "By setup from", "By extends"}


def test_labels_tell_the_variants_of_every_study_from_each_other():
    """A label goes with the source of boxes; a made one names the options that are not the defaults."""
    for study in whole((ROOT / "config/studies").glob("*.yaml")).values():
        names = [(label, study["crops"][crops].get("boxes")) for crops, label in studies.labels(study).items()]
        assert len(set(names)) == len(names), study["name"]
    variants = {
        "a": {"policy": "object-dilate", "boxes": "bing", "delta": 0.2, "scales": [[0.2, 1.0]]},
        "b": {"policy": "object-dilate", "boxes": "ground_truth", "delta": 0.1},
        "c": {"policy": "scene-scene", "method_options": {"lr": 0.1}},
        "d": {"policy": "scene-scene", "method_options": {"lr": 0.1}},
    }
    made = studies.labels({"crops": variants})
    assert made["a"] == "object-dilate, dilation by 0.2, crop scale inside boxes 0.2 to 1"
    assert made["b"] == "object-dilate"
    assert (made["c"], made["d"]) == ("scene-scene, lr 0.1 [c]", "scene-scene, lr 0.1 [d]")


def test_variants_that_figures_show_must_be_there(tmp_path):
    study = yaml.safe_load(TINY.read_text())
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(study | {"report": {"variants": ["nowhere"]}}))
    with pytest.raises(configuration.ConfigError, match=r"report\.variants names nowhere, but the crop variants are"):
        study_files.read_study(tmp_path / "tiny.yaml")


def test_the_audit_on_other_data_is_the_audit():
    found = whole((ROOT / "config/studies").glob("*.yaml"))
    for name, kind, base in (
        ("audit_voc07", "audit", "voc07"),
        ("audit_ohms", "audit", "ohms"),
        ("ablations_ohms", "ablations", "ohms"),
    ):
        for crops, options in found[name]["crops"].items():
            assert options | {"seeds": None} == found[kind]["crops"][crops] | {"seeds": None}, (name, crops)
        assert list(found[name]["crops"]) == list(found[kind]["crops"])
        assert found[name]["data"] == found[base]["data"], name
        assert set(found[name]["methods"]) == {"moco_v2", "random_init"}, name


@pytest.mark.parametrize("name", ["demo", "voc07"])
def test_the_audit_moves_to_another_study_by_one_word(name, tmp_path):
    for file in (ROOT / "config/studies").glob("*.yaml"):
        text = file.read_text()
        if file.stem == "audit":
            text = text.replace("setup_from: demo", f"setup_from: {name}")
        (tmp_path / file.name).write_text(text)
    audit = whole(tmp_path.glob("*.yaml"))["audit"]
    assert audit["data"]["source"] == ("synthetic" if name == "demo" else "voc")
    long, short = (recipe.build(audit, "moco_v2", line, 0) for line in ("scene-scene-long", "scene-scene"))
    assert long["images_seen"] == round(short["images_seen"] * audit["data"]["boxes_per_photo"])
    assert long["crops"] == short["crops"]


def test_an_option_of_the_audit_without_a_meaning_is_refused(load):
    line = "{policy: object-dilate, boxes: bing, seeds: [0]}"
    ranges = ", scales: [[0, 1], [0.2, 1]]}"
    assert "scale_lower" not in load((line, line.replace("}", ranges)))["crops"]["object-dilate"]
    with pytest.raises(configuration.ConfigError, match=r"scales must rise, but 1 is above 0\.2"):
        load((line, line.replace("}", ", scales: [[0, 1], [1, 0.2]]}")))
    with pytest.raises(configuration.ConfigError, match="scale_lower has no meaning"):
        load((line, line.replace("}", ranges.replace("}", ", scale_lower: 0.5}"))))
    scene = "{policy: scene-scene, seeds: [0]}"
    with pytest.raises(
        configuration.ConfigError, match=r"scene-scene\.scene_scale must rise, but 0\.9 is above 0\.2"
    ):
        load((scene, scene.replace("}", ", scene_scale: [0.9, 0.2]}")))
    with pytest.raises(configuration.ConfigError, match="items has no meaning for scene-scene"):
        load((scene, scene.replace("}", ", items: box}")))
    assert studies.is_audit(load((line, line.replace("}", ", items: box}"))))
    assert not studies.is_audit(load())


def test_defaults_are_filled_in_at_every_depth_and_files_keep_their_order(load):
    study = load()
    assert study["pretrain"]["augment"]["hue"] == 0.1
    assert study["pretrain"]["augment"]["blur"] == 0.0
    assert study["proposals"]["count"] == 10
    assert list(study["crops"]) == ["scene-scene", "object-dilate"]
    assert study["crops"]["object-dilate"]["delta"] == 0.1
    assert "delta" not in study["crops"]["scene-scene"]


@pytest.mark.parametrize(
    "replacement",
    [
        ("solver: lbfgs", "solver: sgd\n  lr: 1.0\n  epochs: 5\n  milestones: [3]\n  batch_size: 8"),
        ("solver: lbfgs", "lr: 1.0"),  # sgd is the default
        (
            "  synthetic: {seed: 0, train: 60, validation: 20, test: 30, size: 96}",
            "  location: here\n  photos: there",
        ),
    ],
)
def test_keys_are_taken_where_they_have_a_meaning(load, replacement):
    source = [("source: synthetic", "source: openimages")] if "photos" in replacement[1] else []
    study = load(replacement, *source)
    assert study["probe"]["epochs"] in (5, 100)
    assert study["data"]["voc"] == {"train": "train", "test": "val"}


def test_every_source_and_every_option_of_the_sgd_probe_is_known(load):
    schema = studies.schema()["properties"]
    assert list(study_checks.SOURCE_KEYS) == schema["data"]["properties"]["source"]["enum"]
    options = schema["probe"]["properties"]
    assert {key for key in options if options[key]["description"].startswith("sgd: ")} == set(study_checks.SGD_KEYS)


def test_every_source_of_boxes_is_known_to_the_schema_and_says_where_its_files_are(load):
    schema = studies.schema()["properties"]
    comparison = schema["proposals"]["properties"]["comparison"]["properties"]
    assert sorted(comparison["sources"]["items"]["enum"]) == sorted(crop_options.BOX_SOURCES)
    with pytest.raises(configuration.ConfigError, match=r"proposals\.csv is missing"):
        load(("boxes: bing", "boxes: csv"))
    study = load(("boxes: bing", "boxes: csv"), ("  bing: {sides", "  csv: {file: boxes.csv}\n  bing: {sides"))
    run = recipe.build(study, "moco_v2", "object-dilate", 0)
    assert run["proposals"] == {"count": 10, "csv": {"file": "boxes.csv"}}


def test_byol_has_the_published_recipe_by_default_and_its_views_can_be_overridden_in_part(load):
    line = "  byol: {batch_size: 16, lr: 0.3}\n  random_init:"
    study = load(("  random_init:", line), ("{blur: 0.0}", "{blur: 0.0, hue: 0.4}"))
    run = recipe.build(study, "byol", "object-dilate", 0)
    expected = {"optimizer": "lars", "weight_decay": 1e-6, "warmup": 0.05, "momentum": 0.9, "target_momentum": 0.99}
    assert run["options"] == expected | {"dim": 256, "hidden": 4096, "bn_splits": 1, "lr": 0.3, "batch_size": 16}
    shared = study["pretrain"]["augment"] | {"saturation": 0.2}
    assert run["augment"]["query"] == shared | {"blur": 1.0, "solarize": 0.0}
    assert run["augment"]["key"] == shared | {"blur": 0.1, "solarize": 0.2}
    assert shared["hue"] == 0.4

    own = line.replace("0.3}", "0.3, augment: {key: {blur: 0.7}}}")
    changed = recipe.build(load(("  random_init:", own)), "byol", "object-dilate", 0)["augment"]
    assert (changed["query"]["blur"], changed["key"]["blur"], changed["key"]["solarize"]) == (1.0, 0.7, 0.2)
    with pytest.raises(
        configuration.ConfigError, match=r"methods\.byol\.augment\.key\.solarice; did you mean solarize"
    ):
        load(("  random_init:", own.replace("blur", "solarice")))


def test_a_backbone_is_known_by_its_name_and_cmc_has_none_of_timms(load):
    own = ("{name: narrow, width: 8}", "{name: timm/convnext_atto}")
    assert load(own)["backbone"] == {"name": "timm/convnext_atto"}
    with pytest.raises(configuration.ConfigError, match=r"backbone\.name: 'resnet51' does not match"):
        load((own[0], "{name: resnet51}"))
    with pytest.raises(configuration.ConfigError, match="cmc has two networks of half the width"):
        load(own, ("  random_init:", "  cmc: {}\n  random_init:"))


def test_a_study_cannot_start_from_its_own_results(load):
    with pytest.raises(configuration.ConfigError, match=r"pretrain\.init results/tiny/.* is of this study itself"):
        load(
            (
                "pretrain:\n",
                "pretrain:\n  init: results/tiny/pretrain/supervised/scene-scene/seed0/encoder.safetensors\n",
            )
        )


def test_a_batch_is_computed_in_parts_only_where_that_is_the_same_run(load):
    splits = "    bn_splits: 2\n"
    assert load((splits, f"{splits}    accumulate: 2\n"))["methods"]["moco_v2"]["accumulate"] == 2
    with pytest.raises(configuration.ConfigError, match=r"moco_v2\.batch_size .* multiple of 4"):
        load((splits, f"{splits}    accumulate: 4\n"))
    options = "batch_size: 16, lr: 0.06}"
    with pytest.raises(configuration.ConfigError, match=r"supervised\.accumulate .*whole batch"):
        load((options, options.replace("}", ", accumulate: 2}")))
    in_parts = (
        ("{name: narrow, width: 8}", "{name: timm/convnext_atto}"),
        (options, options.replace("}", ", accumulate: 2}")),
    )
    assert load(*in_parts)["methods"]["supervised"]["accumulate"] == 2
    for method in ("byol", "swav", "cmc"):
        with pytest.raises(configuration.ConfigError, match=rf"{method}\.accumulate has no meaning, as .*batch"):
            load(("  random_init:", f"  {method}: {{accumulate: 2}}\n  random_init:"))


def test_swav_has_the_published_recipe_by_default(load):
    study = load(("  random_init:", "  swav: {}\n  random_init:"))
    run = recipe.build(study, "swav", "object-dilate", 0)
    strong = {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}
    assert run["augment"]["query"] == run["augment"]["key"] == study["pretrain"]["augment"] | strong
    assert run["options"] == {
        "lr": 0.6, "final_lr": 0.0006, "batch_size": 256, "optimizer": "larc", "weight_decay": 1e-6, "momentum": 0.9,
        "warmup": 0.0, "prototypes": 3000, "temperature": 0.1, "epsilon": 0.05, "sinkhorn": 3, "dim": 128,
        "hidden": 2048, "queue": 3840, "queue_from": 0.075, "freeze": 0.005,
        "small_views": {"count": 6, "size": 96, "scale": [0.05, 0.14]},
    }  # fmt: skip


def test_moco_byol_and_cmc_have_their_published_batches_and_rates_by_default(load):
    lines = TINY.read_text().splitlines(keepends=True)
    start = lines.index("  moco_v2:\n")
    end = next(row for row in range(start + 1, len(lines)) if not lines[row].startswith("    "))
    study = load(
        ("".join(lines[start:end]), "  moco_v2: {}\n  byol: {}\n  cmc: {}\n"),
        ("images_seen: 256", "images_seen: 4096"),
    )
    made = {
        method: recipe.build(study, method, "object-dilate", 0)["options"] for method in ("moco_v2", "byol", "cmc")
    }
    assert {method: (options["batch_size"], options["lr"]) for method, options in made.items()} == {
        "moco_v2": (256, 0.03), "byol": (4096, 4.8), "cmc": (128, 0.03),
    }  # fmt: skip
    assert made["moco_v2"]["bn_splits"] == 8  # shuffled batch norm on eight GPUs


def test_variants_without_seeds_have_those_of_their_study(load):
    without = ("{policy: scene-scene, seeds: [0]}", "{policy: scene-scene}")
    crops = load(without, ("\ncrops:\n", "\nseeds: [7, 8]\ncrops:\n"))["crops"]
    assert {name: variant["seeds"] for name, variant in crops.items()} == {
        "scene-scene": [7, 8],
        "object-dilate": [0],
    }
    with pytest.raises(configuration.ConfigError, match=r"crops\.scene-scene\.seeds is missing"):
        load(without)


def test_runs_take_the_seeds_of_the_method_before_those_of_the_variant(load):
    study = load(("{crops: [scene-scene], batch", "{crops: [scene-scene], seeds: [4, 5], batch"))
    supervised = [run for run in studies.runs(study) if run[0] == "supervised"]
    assert supervised == [("supervised", "scene-scene", 4), ("supervised", "scene-scene", 5)]
    assert ("random_init", "none", 0) in studies.runs(study)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("images_seen:", "images_sen:", r"tiny\.yaml: unknown key pretrain\.images_sen; did you mean images_seen\?"),
        ("lr: 0.06\n", "lr: 1e-4\n", r"methods\.moco_v2\.lr is the text '1e-4', not a number.*; write 1\.0e-4"),
        ("lr: 0.06\n", "lr: 2.5E3\n", r"write 2\.5e\+3"),
        ("lr: 0.06\n", "lr: fast\n", r"methods\.moco_v2\.lr must be of type number, not 'fast'"),
        ("queue: 32", "queue: 32.5", r"methods\.moco_v2\.queue must be of type integer"),
        ("dim: 8", "dim: true", r"methods\.moco_v2\.dim must be of type integer, not True"),
        ("policy: scene-scene", "policy: sceen", r"crops\.scene-scene\.policy: 'sceen' is not one of"),
        ("name: tiny", "name: small", r"name is small, but a study is named like its file: write tiny"),
        ("  scene-scene: {", "  Scene_1: {", r"crops\.Scene_1 is no allowed name"),
        ("policy: scene-scene,", "policy: scene-scene, delta: 0.1,", r"crops\.scene-scene\.delta has no meaning"),
        ("boxes: bing, ", "", r"crops\.object-dilate\.boxes is missing"),
        (
            "crops: [scene-scene]",
            "crops: [scenes]",
            r"methods\.supervised\.crops names scenes, but the crop variants are",
        ),
        (
            "policy: scene-scene,",
            "policy: scene-scene, method_options: {lrr: 0.1},",
            r"crops\.scene-scene\.method_options, for moco_v2: unknown key lrr; did you mean lr\?",
        ),
        (
            "policy: scene-scene,",
            "policy: scene-scene, method_options: {lr: -1},",
            r"crops\.scene-scene\.method_options, for moco_v2: lr: -1 is less than",
        ),
        (
            "policy: scene-scene,",
            "policy: scene-scene, method_options: {seeds: [7]},",
            r"crops\.scene-scene\.method_options names seeds, which is no option",
        ),
        (
            "name: tiny",
            "contrasts: [[object-dilate, scenes]]\nname: tiny",
            r"contrasts names scenes, but the variants",
        ),
        ("backbone: {name: narrow, width: 8}", "backbone: {name: narrow}", r"the key backbone\.width is missing"),
        ("description:", "name: tiny\ndescription:", r"the key name is given twice"),
        ("description:", "7: x\ndescription:", r"the key 7 is no text, because YAML reads it so; write it in quotes"),
        ("description:", "no: x\ndescription:", r"the key False is no text"),
        ("description:", "{{ x }}: x\ndescription:", r"is not valid YAML"),
        ("width: 8", "width: 8.0", r"backbone\.width must be of type integer, not 8\.0"),
        ("description:", "seeds: [4294967296]\ndescription:", r"4294967296 is greater than the maximum"),
        ("description:", "contrasts: &a [*a]\ndescription:", r"holds itself"),
        ("description:", '"a\\n": x\ndescription:', r"the key 'a\\n' has a line break"),
        ("width: 8", "width: .nan", r"backbone\.width must be a finite number"),
        ("description:", "seeds: [0, .inf]\ndescription:", r"seeds\.1 must be a finite number"),
        ("source: synthetic", "source: voc", r"the key data\.location is missing"),
        (
            "  source: synthetic",
            "  source: synthetic\n  location: here",
            r"data\.location has no meaning with source: syn",
        ),
        (
            "  source: synthetic",
            "  source: synthetic\n  photos: here",
            r"data\.photos has no meaning with source: synth",
        ),
        (
            "  source: synthetic",
            "  source: synthetic\n  voc: {}",
            r"data\.voc has no meaning with source: synthetic; rem",
        ),
        (
            "source: synthetic",
            "source: voc\n  location: here",
            r"data\.synthetic has no meaning with source: voc; remove",
        ),
        (
            "source: synthetic",
            "source: openimages\n  location: here",
            r"data\.synthetic has no meaning with source: open",
        ),
        ("standardize: true", "lr: 30.0", r"probe\.lr has no meaning with solver: lbfgs; remove it"),
        ("standardize: true", "epochs: 100", r"probe\.epochs has no meaning with solver: lbfgs"),
        ("standardize: true", "milestones: [60]", r"probe\.milestones has no meaning with solver: lbfgs"),
        ("standardize: true", "batch_size: 256", r"probe\.batch_size has no meaning with solver: lbfgs"),
        (
            "name: narrow",
            "name: resnet18",
            r"backbone\.width has no meaning for resnet18, whose width is fixed; remove",
        ),
        ("source: synthetic", "source: vocc", r"data\.source: 'vocc' is not one of"),
        ("dim: 8", "dim: [8", r"is not valid YAML"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_its_remedy(load, old, new, message):
    with pytest.raises(configuration.ConfigError, match=message):
        load((old, new))


def test_a_probe_is_tested_on_validation_photos_only_where_there_are_any(load):
    on_validation = ("probe:\n", "probe:\n  test: validation\n")
    assert load(on_validation)["probe"]["test"] == "validation"
    with pytest.raises(configuration.ConfigError, match=r"probe\.test is validation, but data\.store\.shards has no"):
        load(on_validation, ("validation: 1, ", ""))


GRID = """grid:
  few: {data: {synthetic: {objects: [1, 2]}}}
  small: {data: {store: {long_side: 48}}}
name: tiny"""


def test_the_studies_of_a_grid_are_the_file_but_for_their_data(load, tmp_path):
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY.read_text().replace("name: tiny", GRID))
    found, broken = study_files.load([file])
    assert not broken
    assert set(found) == {"tiny", "tiny_few", "tiny_small"}
    assert found["tiny_few"]["data"]["synthetic"]["objects"] == [1, 2]
    assert found["tiny_few"]["data"]["store"] == found["tiny"]["data"]["store"]
    assert found["tiny_small"]["data"]["store"]["long_side"] == 48
    assert {**found["tiny_small"], "data": 0, "name": ""} == {**load(), "data": 0, "name": ""}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("long_side", "longside", r"grid\.small: unknown key data\.store\.longside; did you mean"),
        ("{store: {long_side: 48}}}", "{}, probe: {}}", r"unknown key grid\.small\.probe"),
    ],
)
def test_a_mistake_in_a_grid_names_the_study_of_it(tmp_path, old, new, said):
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY.read_text().replace("name: tiny", GRID.replace(old, new)))
    _, broken = study_files.load([file])
    assert re.search(said, broken["tiny"])


def test_a_study_of_a_grid_may_not_have_the_name_of_another_file(tmp_path):
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY.read_text().replace("name: tiny", GRID))
    (tmp_path / "tiny_few.yaml").write_text(TINY.read_text().replace("name: tiny", "name: tiny_few"))
    found, broken = study_files.load(tmp_path.glob("*.yaml"))
    assert "grid.few has the name of the study file tiny_few" in broken["tiny"]
    assert found["tiny_few"]["data"]["synthetic"]["objects"] == [3, 6]


def test_contrasts_name_variants_of_all_methods(load):
    study = load(
        ("name: tiny", "contrasts: [[object-dilate, scene-scene], [moco_v2/object-dilate, random_init]]\nname: tiny")
    )
    dilate = ("moco_v2", "object-dilate")
    assert studies.contrasts(study) == [(dilate, ("moco_v2", "scene-scene")), (dilate, ("random_init", "none"))]


@pytest.mark.parametrize("text", ["1e-4", "2E3", "1.5e6", "3", "-7.25", "1e+2"])
def test_the_remedy_for_a_number_read_as_text_is_a_number_with_its_value(text):
    assert yaml.safe_load(configuration._as_yaml_number(text)) == float(text)


def test_the_variants_of_moco_are_listed_once_and_in_order():
    found = whole((ROOT / "config/studies").glob("*.yaml"))
    demo = found["demo"]
    assert studies.moco_variants(demo) == list(demo["crops"])
    alone = demo | {
        "methods": demo["methods"] | {"moco_v2": demo["methods"]["moco_v2"] | {"crops": ["object-shift"]}}
    }
    assert studies.moco_variants(alone) == ["object-shift"], "those of other methods do not count"


def test_scene_crops_of_two_policies_are_two_ablations():
    """Six variants vary one key, three of each policy; with two of a policy its ablation is not asked for."""
    found = whole((ROOT / "config/studies").glob("*.yaml"))["ablations"]
    lines = found["crops"]
    scenes, objects = (["scene", "scene-04", "scene-08"], ["object-scene", "object-scene-04", "object-scene-08"])
    some = found | {"crops": {name: lines[name] for name in scenes + objects}}
    assert studies.ablations(some) == ["scene_scale", "object_scene_scale"]
    some = found | {"crops": {name: lines[name] for name in scenes[:2] + objects}}
    assert studies.ablations(some) == ["object_scene_scale"]


MY_PHOTOS = TINY.parents[2] / "config/studies/my_photos.yaml"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "boxes: bing",
            "boxes: ground_truth",
            r"crops\.object-dilate\.boxes: ground_truth has no meaning .* no labelled",
        ),
        ("count: 10", "bing: {weights: own}", r"bing\.weights is own, .* nothing to train BING on.*: write packaged"),
        (
            "  moco_v2:",
            "  supervised: {crops: all, lr: 0.1, batch_size: 8}\n  moco_v2:",
            r"methods\.supervised has no",
        ),
        (
            "  store:",
            "  subset: {max_images: 5, min_images_per_class: 2}\n  store:",
            r"subset\.min_images_per_class has",
        ),
        (
            "boxes: bing",
            "boxes: bing, budget: boxes",
            r"object-dilate\.budget counts ground-truth boxes, of which .* none",
        ),
        ("  store:", "  photos: here\n  store:", r"data\.photos has no meaning with source: photos; remove it"),
        ("    long_side", "    shards: {train: 1, test: 1}\n    long_side", r"shards\.test must go"),
        (
            "pretrain:",
            "probe: {view_size: 32}\npretrain:",
            r"probe has no meaning .* without data\.labels; name",
        ),
        ("pretrain:", "contrasts: [[object-dilate, scene-scene]]\npretrain:", r"contrasts compare probes"),
        (
            "  epochs: 100",
            "  epochs: 100\n  images_seen: 900",
            r"pretrain needs images_seen or epochs, and one of them",
        ),
        ("  epochs: 100", "", r"pretrain needs images_seen or epochs, and one of them"),
        ("  epochs: 100", "  epochs: 0", r"pretrain\.epochs"),
    ],
)
def test_what_a_folder_of_photos_does_not_have_is_refused(load, old, new, message):
    with pytest.raises(configuration.ConfigError, match=message):
        load((old, new), file=MY_PHOTOS)


def test_what_depends_on_the_source_is_filled_in(load):
    mine = study_files.read_study(MY_PHOTOS)
    assert mine["proposals"]["bing"]["weights"] == "packaged"
    assert mine["data"]["store"]["max_missing_share"] == 1
    tiny = load()
    assert tiny["proposals"]["bing"]["weights"] == "own"
    assert tiny["data"]["store"]["max_missing_share"] == 0.02


def test_sources_whose_photos_are_counted_late_must_say_their_shards(tmp_path):
    study = yaml.safe_load(TINY.read_text())
    del study["data"]["store"]["shards"], study["data"]["synthetic"]
    study["data"] |= {"source": "openimages", "location": "here"}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(study))
    with pytest.raises(configuration.ConfigError, match=r"shards is missing, which source openimages needs"):
        study_files.read_study(tmp_path / "tiny.yaml")


@pytest.mark.parametrize(("budget", "photos", "steps"), [({"images_seen": 100}, 7, 12), ({"epochs": 2.5}, 13, 4)])
def test_a_budget_in_epochs_is_of_the_train_photos(budget, photos, steps):
    assert recipe.step_count(budget | {"options": {"batch_size": 8}}, photos) == steps
    twice = recipe.step_count(budget | {"budget": "boxes", "options": {"batch_size": 8}}, photos, boxes_per_photo=2)
    assert twice in (2 * steps, 2 * steps + 1), "whole batches only"
    for short in ({"epochs": 1}, {"images_seen": 7}):
        with pytest.raises(ValueError, match="less than one batch of 8"):
            recipe.step_count(short | {"options": {"batch_size": 8}}, 3)


def test_a_run_has_one_budget(load):
    study = load(("images_seen: 256", "epochs: 3"))
    study["methods"]["supervised"]["images_seen"] = 40
    made = recipe.build(study, "moco_v2", "object-dilate", 0)
    assert made["epochs"] == 3
    assert "images_seen" not in made
    made = recipe.build(study, "supervised", "scene-scene", 0)
    assert made["images_seen"] == 40
    assert "epochs" not in made
    assert recipe.complete(recipe.differences(made)) == made


def test_a_study_anywhere_takes_from_those_of_the_repository(tmp_path):
    (tmp_path / "birds.yaml").write_text(
        "name: birds\nextends: my_photos\ndescription: Birds.\ndata: {location: birds}\nbackbone: {name: resnet50}\n"
    )
    (tmp_path / ".#birds.yaml").write_text("what an editor leaves")
    found = whole([MY_PHOTOS, tmp_path / "birds.yaml", tmp_path / ".#birds.yaml"])
    assert found["birds"]["data"] == found["my_photos"]["data"] | {"location": "birds"}
    assert found["birds"]["crops"] == found["my_photos"]["crops"]
    (tmp_path / "birds.yaml").write_text("name: birds\nextends: my_photo\ndescription: Birds.\n")
    _, broken = study_files.load([MY_PHOTOS, tmp_path / "birds.yaml"])
    assert "extends is my_photo, but the other studies are my_photos" in broken["birds"]


def test_what_belongs_to_the_source_of_another_setup_goes_with_it(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nsetup_from: voc07\ndescription: Mine.\ndata: {source: folder, location: here}\n"
        "crops: {scene-scene: {policy: scene-scene, seeds: [0]}}\n"
    )
    voc = ROOT / "config/studies/voc07.yaml"
    data = whole([voc, tmp_path / "mine.yaml"])["mine"]["data"]
    assert (data["location"], "shards" in data["store"]) == ("here", False)
    assert data["store"]["long_side"] == whole([voc])["voc07"]["data"]["store"]["long_side"]
    assert data["subset"] == whole([voc])["voc07"]["data"]["subset"]


def test_one_photo_in_a_batch_norm_split_is_refused(load):
    with pytest.raises(configuration.ConfigError, match=r"moco_v2\.batch_size 16 leaves one photo in each of its 16"):
        load(("bn_splits: 2", "bn_splits: 16"))
    with pytest.raises(configuration.ConfigError, match=r"supervised\.batch_size 1 leaves one photo"):
        load(("[scene-scene], batch_size: 16", "[scene-scene], batch_size: 1"))


def test_a_budget_below_one_batch_is_refused_at_the_start(load):
    with pytest.raises(
        configuration.ConfigError, match=r"images_seen: 5 is less than one batch of methods\.\w+ .*, 16"
    ):
        load(("images_seen: 256", "images_seen: 5"))
    load(("images_seen: 256", "images_seen: 16"))


@pytest.mark.parametrize("key", ["heads: 3", "heads: 0", "heads: two"])
@pytest.mark.parametrize(("place", "old", "new"), [
    ("methods.moco_v2.heads", "    queue: 32", "    queue: 32\n    {}"),
    ("crops.object-dilate.heads", "boxes: bing,", "boxes: bing, {},"),
    ("crops.object-dilate.method_options", "boxes: bing,", "boxes: bing, method_options: {{{}}},"),
])  # fmt: skip
def test_a_third_projection_head_is_refused_wherever_it_is_written(load, key, place, old, new):
    with pytest.raises(configuration.ConfigError, match=re.escape(place)) as refused:
        load((old, new.format(key)))
    assert "heads" in str(refused.value)
