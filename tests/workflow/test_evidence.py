"""The evidence on proposals, from its rule: asked for by name, for several sources at once."""

import pandas as pd
import pytest

EVIDENCE = "results/tiny/proposals/evidence"


def test_sources_are_compared_in_one_run_and_a_plain_call_does_not_do_it(finished, tmp_path):
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    assert not (finished.folder / EVIDENCE).exists()
    boxes = pd.read_parquet(finished.folder / "results/tiny/data/boxes.parquet")
    boxes.to_csv(tmp_path / "boxes.csv", index=False)
    edits = {
        "proposals.csv.file": str(tmp_path / "boxes.csv"),
        "proposals.evidence.sources": ["bing", "random", "edge_boxes", "csv", "ground_truth"],
        "proposals.evidence.counts": [1, 10, 200],
        "proposals.evidence.photos": 12,
    }
    config = finished.changed(edits, tmp_path)
    plan = finished.planned(f"{EVIDENCE}/all", config=config)
    assert "pretrain" not in plan.jobs
    assert plan.jobs["propose_long"] == 2
    result = finished.run(f"{EVIDENCE}/all", config=config)
    assert result.code == 0, result.text
    table = pd.read_csv(finished.folder / EVIDENCE / "evidence.csv").set_index(["source", "count"])
    assert table.index.get_level_values("source").unique().tolist() == edits["proposals.evidence.sources"]
    assert table.loc[("ground_truth", 200), "detection_rate_0.7_object"] == 1
    assert table.loc[("csv", 200), "best_overlap_image"] > table.loc[("bing", 10), "best_overlap_image"]
    assert table.loc[("bing", 200), "boxes"] > 50
    page = (finished.folder / EVIDENCE / "evidence.md").read_text()
    assert "12 photos of the test split" in page
    for name in ("evidence.png", "evidence.pdf", "top_boxes.png", "top_boxes.pdf"):
        assert (finished.folder / EVIDENCE / name).stat().st_size > 1000
    # A changed split of shards or list of sources is no reason to train anything again.
    assert not {"pretrain", "train_bing"} & set(finished.planned(config=config).jobs)
