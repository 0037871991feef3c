"""The comparison of proposals, from its rule: asked for by name, for several sources at once."""

from pathlib import Path

import pandas as pd
import pytest

from oac.study_files import read_study
from oac.workflow import StudyFiles

ROOT = Path(__file__).resolve().parents[2]
COMPARISON = "results/tiny/proposals/comparison"


def test_sources_are_compared_in_one_run_and_a_plain_call_does_not_do_it(copied, tmp_path):
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    assert not (copied.folder / COMPARISON).exists()
    boxes = pd.read_parquet(copied.folder / "results/tiny/data/boxes.parquet")
    boxes.to_csv(tmp_path / "boxes.csv", index=False)
    edits = {
        "proposals.csv.file": str(tmp_path / "boxes.csv"),
        "proposals.comparison.sources": ["bing", "random", "edge_boxes", "csv", "ground_truth"],
        "proposals.comparison.counts": [1, 10, 200],
        "proposals.comparison.photos": 12,
    }
    config = copied.changed(edits, tmp_path)
    plan = copied.planned(f"{COMPARISON}/all", config=config)
    assert "pretrain" not in plan.jobs
    assert plan.jobs["propose_long"] == 2
    result = copied.run(f"{COMPARISON}/all", config=config)
    assert result.code == 0, result.text
    table = pd.read_csv(copied.folder / COMPARISON / "comparison.csv").set_index(["source", "count"])
    assert table.index.get_level_values("source").unique().tolist() == edits["proposals.comparison.sources"]
    assert table.loc[("ground_truth", 200), "detection_rate_0.7_object"] == 1
    assert table.loc[("csv", 200), "best_overlap_image"] > table.loc[("bing", 10), "best_overlap_image"]
    assert table.loc[("bing", 200), "boxes"] > 50
    page = (copied.folder / COMPARISON / "comparison.md").read_text()
    assert "12 photos" in page
    for name in ("comparison.png", "comparison.pdf", "top_boxes.png", "top_boxes.pdf"):
        assert (copied.folder / COMPARISON / name).stat().st_size > 1000
    # A changed split of shards or list of sources is no reason to train anything again.
    assert not {"pretrain", "train_bing"} & set(copied.planned(config=config).jobs)


def test_difficult_objects_are_left_out_unless_a_study_wants_them():
    study = read_study(ROOT / "config/studies/voc07.yaml")
    assert StudyFiles(study).difficult_marks() == study["data"]["location"]
    study["proposals"]["comparison"]["difficult"] = True
    assert StudyFiles(study).difficult_marks() is None
    assert StudyFiles(read_study(ROOT / "config/studies/demo.yaml")).difficult_marks() is None
