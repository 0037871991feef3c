"""A folder of photos, of all kinds, goes through the workflow to an encoder and a page."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from oac.data.store import Store
from oac.pretrain.nn import encoder_recipe, load_encoder

EDITS = {
    "name": "own_photos",
    "data.store.long_side": 64,
    "proposals.count": 3,
    "backbone": {"name": "narrow", "width": 8},
    "pretrain.view_size": 16,
    "pretrain.epochs": 4,
    "methods.moco_v2.batch_size": 8,
    "methods.moco_v2.queue": 16,
}
GOOD = ["2024/one.jpg", "2025/one.jpg", "a b/it's été.png", "a b/{x}.webp", 'q"uote.gif', "UPPER.JPG", "big.tiff"]
GOOD += ["gray.jpg", "cmyk.jpg", "turned.jpg", "deep.png", "palette.png"]
BAD = ["cut.jpg", "empty.jpg", "text.png", "tiny.png"]


def photo(number):
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (60, 80, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("my photos")
    for number, name in enumerate(GOOD):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = photo(number)
        mode = {"gray.jpg": "L", "cmyk.jpg": "CMYK", "palette.png": "P"}.get(name, "RGB")
        if name == "deep.png":
            image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
        elif name == "turned.jpg":
            exif = Image.Exif()
            exif[0x0112] = 6
            image.save(path, exif=exif)
            continue
        (image if name == "deep.png" else image.convert(mode)).save(path, "JPEG" if name == "UPPER.JPG" else None)
    whole = (folder / "2024/one.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.png").write_text("no photo")
    Image.new("RGB", (2, 2)).save(folder / "tiny.png")
    (folder / "notes.txt").write_text("no photo by its name")
    return folder


@pytest.fixture
def config(built, photos, tmp_path):
    """A configuration with the study my_photos under another name, small, on that folder."""
    edits = EDITS | {"data.location": str(photos)}
    return built.changed(edits, tmp_path, base="config/studies/my_photos.yaml")


def test_a_folder_of_photos_becomes_an_encoder_with_every_file_accounted_for(built, photos, config, tmp_path):
    results = tmp_path / "run" / "results/own_photos"
    results.parent.parent.mkdir()
    workflow = type(built)(built.repo, tmp_path / "run")
    result = workflow.run(config=config)
    assert result.code == 0, result.text
    images = pd.read_parquet(results / "data/images.parquet")
    missing = pd.read_csv(results / "data/missing.csv")
    assert sorted(images["image_id"]) == sorted(GOOD)
    assert sorted(missing["image_id"]) == BAD
    steps = json.loads((results / "data/summary.json").read_text())["steps"]
    assert [(step["step"], step["images"]) for step in steps] == [
        ("files", len(GOOD) + len(BAD) + 1),
        ("photos, by their names", len(GOOD) + len(BAD)),
    ]
    store = Store(results / "data/photos/train")
    assert store.image("a b/{x}.webp").size == (64, 48)
    assert store.image("turned.jpg").size == (48, 64)  # by its EXIF orientation
    run = results / "pretrain/moco_v2/object-dilate/seed0"
    assert encoder_recipe(run / "encoder.safetensors")["proposals"]["bing"]["weights"] == "packaged"
    load_encoder(run / "encoder.safetensors")
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert history[-1]["images_seen"] == 4 * len(GOOD) // 8 * 8
    page = (results / "report/summary.md").read_text()
    assert f"left out: {len(BAD)}: 2 JPG, not a readable image; 2 PNG, not a readable image (" in page
    assert f"| {history[-1]['images_seen']} |" in page
    assert "mAP" not in page
    # Nothing is done again until a photo is replaced by one of the same size in bytes, deep in the folder.
    assert workflow.run(config=config).jobs == {}
    deep = photos / "2024/one.jpg"
    deep.write_bytes(deep.read_bytes()[:-2] + b"\0\0")
    assert {"store_photos", "pretrain"} <= workflow.planned(config=config).jobs.keys()


def test_the_encoder_of_a_folder_needs_no_file(built, photos, tmp_path):
    workflow = type(built)(built.repo, tmp_path)
    plan = workflow.run(
        "encoder", "--dry-run", "--config", f"photos={photos}", config=built.repo / "config/config.yaml"
    )
    assert plan.code == 0, plan.text
    assert plan.trained == {"moco_v2 on object-dilate, seed 0"}
    assert not plan.jobs.keys() & {"fit_probe", "extract_features", "train_bing", "make_crops"}


@pytest.mark.parametrize(
    ("target", "folder", "message"),
    [
        ("encoder", "absent", "absent is no folder: name the folder of your photos with --config photos=DIR"),
        ("encoder", "", "holds no photo at any depth (JPEG, PNG, "),
        (
            "results/my_photos/probe/moco_v2/object-dilate/seed0/metrics.json",
            None,
            "study my_photos has no probe, so no test results; it ends with the encoders",
        ),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(built, photos, tmp_path, target, folder, message):
    place = photos if folder is None else tmp_path / folder
    result = type(built)(built.repo, tmp_path).run(
        target, "--config", f"photos={place}", config=built.repo / "config/config.yaml"
    )
    assert result.code != 0
    assert message in result.text


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("photos=", "--config photos= has no value"),
        ("study_files=['nope.yaml']", "nope.yaml does not exist: correct the name, or leave it out"),
    ],
)
def test_a_value_that_names_nothing_is_refused(built, tmp_path, config, message):
    result = type(built)(built.repo, tmp_path).run(
        "encoder", "--dry-run", "--config", config, config=built.repo / "config/config.yaml"
    )
    assert result.code != 0
    assert message in result.text


def test_labels_that_are_absent_are_named(built, photos, tmp_path):
    target = "results/my_labels/report/summary.md"
    given = f"photos={photos}", f"labels={tmp_path / 'labels.csv'}"
    result = type(built)(built.repo, tmp_path).run(
        target, "--dry-run", "--config", *given, config=built.repo / "config/config.yaml"
    )
    assert result.code != 0
    assert "labels.csv does not exist; a CSV file with the columns image_id and label is expected" in result.text
    assert "MissingInputException" not in result.text


def test_labels_that_come_later_are_probed_on_the_encoder_that_is_there(built, photos, config, tmp_path):
    workflow = type(built)(built.repo, tmp_path / "run")
    workflow.folder.mkdir()
    labels = tmp_path / "labels.csv"
    lines = [
        f'"{name.replace(chr(34), 2 * chr(34))}",{"ab"[number // 2 % 2]},{"test" if number > 7 else "train"}'
        for number, name in enumerate(GOOD)
    ]
    labels.write_text("image_id,label,split\n" + "\n".join(lines) + "\n")
    encoder = "results/own_photos/pretrain/moco_v2/object-dilate/seed0/encoder.safetensors"
    probe = {"view_size": 16, "squeeze": True, "solver": "lbfgs", "weight_decays": [0.1]}
    edits = {
        "name": "own_labels",
        "data.labels": str(labels),
        "data.subset": {"min_classes_per_image": 1, "min_images_per_class": 1},
        "methods": {"pretrained": {"encoder": encoder}, "random_init": {"seeds": [0]}},
        "probe": probe,
    }
    both = tmp_path / "both"
    both.mkdir()
    built.changed(EDITS | edits | {"data.location": str(photos)}, both, base="config/studies/my_photos.yaml")
    text = json.dumps(
        {"studies": [], "study_files": [str(tmp_path / "own_photos.yaml"), str(both / "own_labels.yaml")]}
    )
    (both / "config.yaml").write_text(text)
    result = workflow.run("results/own_labels/report/summary.md", config=both / "config.yaml")
    assert result.code == 0, result.text
    assert result.trained == {"moco_v2 on object-dilate, seed 0"}
    metrics = json.loads(
        (workflow.folder / "results/own_labels/probe/pretrained/none/seed0/metrics.json").read_text()
    )
    assert (metrics["method"], metrics["test_images"], metrics["images_seen"]) == ("pretrained", len(GOOD) - 8, 0)
    assert metrics["recipe"]["pretraining"]["method"] == "moco_v2"
    given, adopted = (
        load_encoder(workflow.folder / path).state_dict()
        for path in (encoder, "results/own_labels/pretrain/pretrained/none/seed0/encoder.safetensors")
    )
    assert all(given[name].equal(adopted[name]) for name in given)
    page = (workflow.folder / "results/own_labels/report/summary.md").read_text()
    assert "Given encoder" in page
    # Another label trains nothing again.
    labels.write_text(labels.read_text().replace(",a,test", ",b,test", 1))
    plan = workflow.planned("results/own_labels/report/summary.md", config=both / "config.yaml")
    assert "fit_probe" in plan.jobs
    assert plan.trained == set()
