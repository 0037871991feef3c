from __future__ import annotations

import base64
import io
import json
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from oac.report.formats import html_page
from oac.report.notes import boxed_photos, coverage, long_queues, missing_photos, replaced_photos
from oac.report.style import entitle, one_panel, save, styled

SCRIPT = Path(__file__).resolve().parents[2] / "workflow/scripts/write_summary.py"
RECIPE = {"recipe": {"method": "moco_v2"}, "device": "cpu"}


def history(*damaged: int) -> list[dict]:
    return [RECIPE, *({"step": n, "images_seen": 800 * n, "damaged": count} for n, count in enumerate(damaged, 1))]


def test_missing_photos_are_counted_and_where_there_are_some_their_list_is_named():
    def listed(*rows):
        return missing_photos(pd.DataFrame(rows, columns=["path", "reason"], dtype="str"))

    assert "0" in listed()
    assert "missing.csv" not in listed()
    text = listed(
        ("a b/1.jpg", "https://x.org/p/a%20b/1.jpg: HTTP 404 Not Found"),
        ("2.JPG", "https://x.org/p/2.JPG: HTTP 404 Not Found"),
        ("3.png", "/data/3.png: No such file or directory"),
        ("c/4.jpg", "not a readable image: OSError: image file is truncated (12 bytes not processed)"),
        ("c/5.jpg", "not a readable image: it claims 900,000,000 pixels"),
        ("c.d/.6", "not a readable image: of none of the formats"),
    )
    assert ": 6: " in text
    assert "2 JPG, HTTP 404 Not Found" in text
    assert "1 PNG, No such file or directory" in text
    assert "2 JPG, not a readable image" in text
    assert "1 without a suffix, not a readable image" in text
    assert "data/missing.csv" in text
    many = listed(*((f"{n}.jpg", f"reason {n}: x") for n in range(14)))
    assert many.count("reason") == 11
    assert "4 for other reasons" in many


def test_each_source_says_how_many_photos_have_a_box():
    def found(missing, photos):
        return {"photos_without_boxes": missing, "photos": photos}

    splits = {
        "train": {"csv": found(2, 50), "bing": found(0, 50)},
        "test": {"csv": found(1, 10), "bing": found(0, 10)},
    }
    text = boxed_photos({"splits": splits})
    assert text.endswith("by source of boxes: CSV 57 of 60; BING 60 of 60. Object crops take the others whole.")
    assert boxed_photos({"splits": {"train": {"bing": found(0, 50)}}}).endswith("BING 50 of 50.")


def test_recall_counts_the_photos_without_a_box():
    """By the function that writes recall.json: of three photos one has no box, and one box finds an object of two."""
    recall = runpy.run_path(str(SCRIPT.with_name("proposals.py")))["recall"]
    box, other, none = np.array([[0.0, 0.0, 0.5, 0.5]]), np.array([[0.5, 0.5, 1.0, 1.0]]), np.zeros((0, 4))
    found = recall([box, none, other], [np.concatenate([box, other]), other, none], [1])
    assert (found["photos_without_boxes"], found["photos"]) == (1, 3)
    assert (found["image"][1], found["object"][1], found["mean_area"]) == (0.25, 1 / 3, 0.25)


def test_boxes_of_a_study_without_recall_are_counted_too(tmp_path):
    for name, ids in {"images": ["a", "b", "c"], "csv": ["b", "b", "gone"], "bing": ["a", "b", "c"]}.items():
        pd.DataFrame({"image_id": ids, "rank": 0}).to_parquet(tmp_path / f"{name}.parquet")
    text = boxed_photos(coverage([tmp_path / f"{name}.parquet" for name in ("images", "csv", "bing")]))
    assert text.endswith("CSV 1 of 3; BING 3 of 3. Object crops take the others whole.")
    assert boxed_photos(coverage([])) is None


def test_runs_that_replaced_photos_are_named_with_the_count_at_their_end():
    found = replaced_photos({"a/seed0": history(0, 2, 1204), "b/seed0": history(0, 0), "c/seed1": history(1, 1)})
    assert "a/seed0 1,204 of 2,400" in found
    assert "c/seed1 1 of 1,600" in found
    assert "b/seed0" not in found


@pytest.mark.parametrize("histories", [{}, {"a": [RECIPE]}, {"a": history(0, 0), "b": history(0)}])
def test_there_is_no_sentence_where_every_photo_was_decoded(histories):
    assert replaced_photos(histories) is None


def test_queues_longer_than_an_epoch_are_named():
    def run(queue, epochs, method="moco_v2"):
        return [
            {"recipe": {"method": method, "options": {"queue": queue}}},
            {"step": 9, "images_seen": 1000, "epoch": epochs},
        ]

    found = long_queues({"a/seed0": run(512, 10.0), "b/seed0": run(99, 10.0), "c/seed0": [RECIPE, {"step": 1}]})
    assert "a/seed0 512" in found
    assert "b/seed0" not in found
    assert long_queues({"b/seed0": run(100, 10.0), "d/seed0": run(512, 10.0, "swav")}) is None
    assert long_queues({}) is None


@pytest.mark.parametrize(("damaged", "said"), [(0, False), (5, True)])
def test_the_page_of_a_study_names_what_went_wrong_only_where_something_did(tmp_path, damaged, said):
    """Runs that replaced photos, bad boxes, and photos without a box."""
    path = tmp_path / "pretrain/moco_v2/scene-scene/seed0/history.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in history(0, damaged)))
    for name, text in (
        ("missing.csv", "image_id,path,reason\n"),
        (
            "photos.json",
            json.dumps({"in_several_splits": {"images": damaged, "examples": ["a"]}, "photo_sizes": None}),
        ),
        ("metrics.json", json.dumps({"shown_by_all": ["person"] * bool(damaged)})),
        ("classes.csv", f"label,name,train_images,train_boxes\na,{chr(0xE000) if damaged else 'cat'},1,1\n"),
        ("verdicts.md", "- Yes.\n"),
        ("crops.md", "| a |\n"),
        ("crops.html", html_page("Crops < 2", "<table></table>")),
        (
            "summary.json",
            json.dumps({"bad_boxes": {"boxes": 9, "clipped": damaged, "dropped": 0, "examples": ["dog"]}}),
        ),
        (
            "recall.json",
            json.dumps({"splits": {"train": {"csv": {"photos_without_boxes": damaged, "photos": 50}}}}),
        ),
    ):
        (tmp_path / name).write_text(text)
    smk = SimpleNamespace(
        input=SimpleNamespace(
            verdicts=tmp_path / "verdicts.md",
            tables=[tmp_path / "crops.md"],
            figures=[tmp_path / "figures/recall.png"],
            missing=tmp_path / "missing.csv",
            photos=tmp_path / "photos.json",
            subset=tmp_path / "summary.json",
            classes=tmp_path / "classes.csv",
            recall=tmp_path / "recall.json",
            uncounted=[],
            metrics=[tmp_path / "metrics.json"] * 2,
            histories=[path],
        ),
        output=SimpleNamespace(markdown=tmp_path / "summary.md", html=tmp_path / "report.html"),
        params=SimpleNamespace(description="A study.", main="crops", names={"title": "Tiny study", "labels": {}}),
        wildcards=SimpleNamespace(study="tiny"),
    )
    with styled():
        figure, _ = one_panel(2)
        entitle(figure, "Boxes find [most]\nobjects")
        save(figure, tmp_path / "figures/recall")
    runpy.run_path(str(SCRIPT), run_name="script")["main"](smk)
    paragraphs = (tmp_path / "summary.md").read_text().rstrip("\n").split("\n\n")
    page = (tmp_path / "report.html").read_text()
    assert paragraphs[:5] == ["# Tiny study", "A study.", "## What was found", "- Yes.", "| a |"]
    assert "![Boxes find (most) objects](figures/recall.png)" in paragraphs
    (picture,) = re.findall(r"base64,([^\"]+)", page)
    drawn = [Image.open(file) for file in (io.BytesIO(base64.b64decode(picture)), tmp_path / "figures/recall.png")]
    assert drawn[0].convert("RGBA").tobytes() == drawn[1].convert("RGBA").tobytes()
    for words in (
        "moco_v2/scene-scene/seed0 5 of 1,600", "take the others whole", "Of 9 boxes 5 reached beyond",
        "byte for byte", "left out of the mean: person.", "as squares",
    ):  # fmt: skip
        assert any(words in paragraph for paragraph in paragraphs) == (words in page) == said
    assert "Crops &lt; 2" in page
    assert page.index("Yes.") < page.index("<table>") < page.index('id="data"') < page.index("<img")
