from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from oac.report.notes import missing_photos, photos_without_boxes, replaced_photos

SCRIPT = Path(__file__).resolve().parents[2] / "workflow/scripts/write_summary.py"
RECIPE = {"recipe": {"method": "moco_v2"}, "device": "cpu"}


def history(*damaged: int) -> list[dict]:
    return [RECIPE, *({"step": n, "images_seen": 800 * n, "damaged": count} for n, count in enumerate(damaged, 1))]


def test_missing_photos_are_counted_and_where_there_are_some_their_list_is_named():
    assert "0" in missing_photos(0)
    assert "missing.csv" not in missing_photos(0)
    assert "3" in missing_photos(3)
    assert "data/missing.csv" in missing_photos(3)


def test_sources_that_leave_photos_without_a_box_are_named():
    def found(missing, photos):
        return {"photos_without_boxes": missing, "photos": photos}

    splits = {
        "train": {"csv": found(2, 50), "bing": found(0, 50)},
        "test": {"csv": found(1, 10), "bing": found(0, 10)},
    }
    text = photos_without_boxes({"splits": splits})
    assert "csv 3 of 60" in text
    assert "bing" not in text
    assert photos_without_boxes({"splits": {"train": {"bing": found(0, 50)}}}) is None


def test_runs_that_replaced_photos_are_named_with_the_count_at_their_end():
    found = replaced_photos({"a/seed0": history(0, 2, 1204), "b/seed0": history(0, 0), "c/seed1": history(1, 1)})
    assert "a/seed0 1,204 of 2,400" in found
    assert "c/seed1 1 of 1,600" in found
    assert "b/seed0" not in found


@pytest.mark.parametrize("histories", [{}, {"a": [RECIPE]}, {"a": history(0, 0), "b": history(0)}])
def test_there_is_no_sentence_where_every_photo_was_decoded(histories):
    assert replaced_photos(histories) is None


@pytest.mark.parametrize(("damaged", "said"), [(0, False), (5, True)])
def test_the_page_of_a_study_names_what_went_wrong_only_where_something_did(tmp_path, damaged, said):
    """Runs that replaced photos, bad boxes, and photos without a box."""
    path = tmp_path / "pretrain/moco_v2/scene-scene/seed0/history.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in history(0, damaged)))
    for name, text in (
        ("missing.csv", "image_id,path,reason\n"),
        ("verdicts.md", "- Yes.\n"),
        ("crops.md", "| a |\n"),
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
            subset=tmp_path / "summary.json",
            recall=tmp_path / "recall.json",
            histories=[path],
        ),
        output=[tmp_path / "summary.md"],
        params=SimpleNamespace(description="A study."),
        wildcards=SimpleNamespace(study="tiny"),
    )
    runpy.run_path(str(SCRIPT), run_name="script")["main"](smk)
    paragraphs = (tmp_path / "summary.md").read_text().rstrip("\n").split("\n\n")
    assert paragraphs[0] == "# Study tiny"
    assert paragraphs[-3:] == ["- Yes.", "| a |", "![recall](figures/recall.png)"]
    assert any("moco_v2/scene-scene/seed0 5 of 1,600" in paragraph for paragraph in paragraphs) == said
    assert any("csv 5 of 50" in paragraph for paragraph in paragraphs) == said
    assert any("Of 9 boxes 5 reached beyond" in paragraph for paragraph in paragraphs) == said
    assert len(paragraphs) == 6 + 3 * said
