"""A data set in a folder whose name Snakemake would take for a wildcard, and files that others take the place of."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def braces(fresh, tmp_path):
    """The configuration of a study whose data lie in such a folder, and its file of boxes."""
    folder = tmp_path / "my {photos} {study}"
    folder.mkdir()
    lines = ["path,label,xmin,xmax,ymin,ymax,split"]
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
        split = "test" if number % 3 == 0 else "train"
        lines += [f"{number}.jpg,{label},10,40,10,50,{split}" for label in ("a", "b")[: 1 + number % 2]]
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")
    edits = {
        "name": "braces",
        "data.source": "folder",
        "data.synthetic": None,
        "data.location": str(folder),
        "data.folder": {"boxes": "boxes.csv", "units": "pixels"},
        "data.store.shards": {"train": 1, "test": 1},
        "data.subset": {"min_classes_per_image": 1, "min_images_per_class": 1},
    }
    return edits, folder / "boxes.csv"


def test_it_is_read_and_a_change_of_its_annotations_seen(fresh, braces, tmp_path):
    edits, boxes = braces
    config = fresh.changed(edits, tmp_path)
    target = "results/braces/data/images.parquet"
    result = fresh.run(target, config=config)
    assert result.code == 0, result.text
    assert "Nothing to be done" in fresh.planned(target, config=config).text
    before = boxes.stat()
    boxes.write_text(boxes.read_text().replace(",10,40,", ",10,50,", 1))  # as long as before
    os.utime(boxes, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    assert "select_subset" in fresh.planned(target, config=config).jobs


def test_older_files_put_in_place_are_seen(fresh, braces, tmp_path):
    """Snakemake itself looks for newer ones only."""
    edits, boxes = braces
    plain = tmp_path / "photos"
    boxes.parent.rename(plain)
    proposals = tmp_path / "proposals.csv"
    lines = [f"{number},0.1,0.5,0.1,0.{number % 3 + 5}" for number in range(12)]
    proposals.write_text("\n".join(["image_id,xmin,xmax,ymin,ymax", *lines]) + "\n")
    edits |= {"name": "older", "data.location": str(plain), "proposals.csv": {"file": str(proposals)}}
    config = fresh.changed(edits, tmp_path)
    target = "results/older/proposals/csv.parquet"
    result = fresh.run(target, config=config)
    assert result.code == 0, result.text
    assert "Nothing to be done" in fresh.planned(target, config=config).text
    os.utime(proposals, (1e9, 1e9))
    jobs = fresh.planned(target, config=config).jobs
    assert set(jobs) == {"propose_from_table"}
    os.utime(plain / "boxes.csv", (1e9, 1e9))
    assert {"select_subset", "store_photos"} <= set(fresh.planned(target, config=config).jobs)


def test_a_file_without_boxes_of_a_split_is_refused(fresh, braces, tmp_path):
    edits, _ = braces
    proposals = tmp_path / "proposals.csv"
    lines = [f"{number},0.1,0.5,0.1,0.5" for number in range(12) if number % 3]  # 8 of 12 photos, all of train
    proposals.write_text("\n".join(["image_id,xmin,xmax,ymin,ymax", *lines]) + "\n")
    edits |= {"name": "uneven", "proposals.csv": {"file": str(proposals), "min_coverage": 0.6}}
    result = fresh.run("results/uneven/proposals/csv.parquet", config=fresh.changed(edits, tmp_path))
    assert result.code != 0
    assert "boxes of 0 of the study's 4 test photos" in result.text


@pytest.mark.parametrize(
    ("edits", "target", "key"),
    [
        ({"proposals.csv": {"file": "{mine}.csv"}}, "proposals/csv.parquet", "proposals.csv.file"),
        (
            {"methods.pretrained": {"encoder": "{my}.safetensors"}},
            "pretrain/pretrained/none/seed0/encoder.safetensors",
            "methods.pretrained.encoder",
        ),
    ],
)
def test_another_file_that_rules_cannot_name_is_refused(fresh, tmp_path, edits, target, key):
    result = fresh.run("--dry-run", f"results/tiny/{target}", config=fresh.changed(edits, tmp_path))
    assert result.code != 0
    assert f"{key} {{m" in result.text
    assert "rename it" in result.text
