"""The joined table 1: the paper's numbers, ours of either study, and cells without a run."""

from __future__ import annotations

import pandas as pd
import pytest
from scipy import stats

from oac.report import table1 as module
from oac.report.formats import write
from oac.report.loading import load
from oac.report.paper import VALUES
from oac.report.results import Names

from .conftest import run_metrics

PAPER = {  # as in the README of the paper's authors: mAP and gap, top-1 and gap
    "Supervised": ("66.3", "–", "76.2", "–"),
    "CMC": ("48.7", "−17.6", "60.0", "−16.2"),
    "BYOL": ("50.2", "−16.1", "70.7", "−5.5"),
    "SwAV": ("51.3", "−15.0", "72.7", "−3.5"),
    "MoCo-v2": ("49.8", "−16.5", "67.5", "−8.7"),
    "MoCo-v2, object-dilate": ("58.6", "−7.7", "68.0", "−8.2"),
}
SPREAD = (-0.4, 0.0, 0.7)


def entry(study, method, crops, seed, value, policy, boxes=None, single=False, **recipe):
    """A metrics.json; value in percent is the top-1 accuracy or the mAP."""
    found = run_metrics(method, crops, seed, value / 100, policy, boxes, study=study)
    found["recipe"] |= {"backbone": {"name": "narrow"}, "data": {"source": "synthetic", "subset": {}}} | recipe
    return found | ({"top1": value / 100, "map": 0.01, "top5": 0.9} if single else {})


def variant(study, method, value, policy="scene-scene", seeds=3, **options):
    crops, spread = options.pop("crops", policy), options.pop("spread", SPREAD)
    return [entry(study, method, crops, s, value + spread[s], policy, **options) for s in range(seeds)]


TITLES = {"synthetic": "Synthetic images", "folders": "Folders of classes"}


def table1(ohms, imagenet):
    """Of studies that have titles."""
    return module.table1(
        *(load(runs, Names(TITLES.get(runs[0]["study"], ""))) if runs else None for runs in (ohms, imagenet))
    )


@pytest.fixture
def many():
    return [
        *variant("synthetic", "supervised", 60.0),
        *variant("synthetic", "moco_v2", 40.0),
        *variant("synthetic", "moco_v2", 45.0, "object-dilate", boxes="bing", spread=SPREAD[::-1]),
        *variant("synthetic", "moco_v2", 99.0, "object-dilate", boxes="ground_truth", crops="gt"),
        *variant("synthetic", "byol", 42.0, seeds=1),
    ]


@pytest.fixture
def one():
    return [*variant("folders", "moco_v2", 70.0, single=True), *variant("folders", "swav", 71.0, single=True)]


def rows(table):
    """The cells of each row under the columns' headers."""
    headers = [column.header for column in table.columns]
    found = {}
    for cells in table.cells():
        name = f"{cells[0]}, {cells[1]}" if cells[1] == "object-dilate" else cells[0]
        found[name] = dict(zip(headers, cells, strict=True))
    return found


def test_the_papers_two_columns_are_its_own(many, one):
    for table in (table1(many, one), table1([], [])):
        found = rows(table)
        assert list(found) == list(PAPER)
        for name, numbers in PAPER.items():
            cells = list(found[name].values())
            assert (cells[3], cells[4], cells[8], cells[9]) == numbers, name


def test_ours_has_interval_gap_and_difference_to_the_paper(many, one):
    frame = table1(many, one).frame.set_index(["method", "policy"], drop=False)
    line = frame.loc[("moco_v2", "object-dilate")]
    values, reference = [45.0 + s for s in SPREAD[::-1]], [60.0 + s for s in SPREAD]
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    paired = stats.ttest_rel(values, reference)
    gap = paired.confidence_interval()
    assert line.ohms_percent == pytest.approx(45.1)
    assert line.ohms_half_width_percent == pytest.approx((high - low) / 2)
    assert line.ohms_gap_points == pytest.approx((gap.low + gap.high) / 2)
    assert line.ohms_gap_half_width_points == pytest.approx((gap.high - gap.low) / 2)
    assert line.ohms_less_paper_points == pytest.approx(45.1 - 58.6)
    assert line.ohms_runs.split()[0] == "synthetic/moco_v2/object-dilate/seed0:moco_v2-object-dilate-0"
    scene = frame.loc[("moco_v2", "scene-scene")]
    assert scene.imagenet_percent == pytest.approx(70.1)
    assert scene.imagenet_less_paper_points == pytest.approx(70.1 - 67.5)
    assert pd.isna(scene.imagenet_gap_points), "there is no supervised run to subtract"


def test_cells_without_a_run_say_so(many, one):
    found = rows(table1(many, one))
    ours, gap, less = ("Ours on Synthetic images, mAP (%)", "Ours on Synthetic images, gap to supervised (points)",
                       "Ours on Synthetic images less paper, mAP (points)")  # fmt: skip
    assert [found["CMC"][name] for name in (ours, gap, less)] == ["not run"] * 3
    assert [found["BYOL"][name] for name in (ours, gap, less)] == ["41.6 (n = 1)", "−18.0", "−8.6"]
    assert found["Supervised"][ours] == "60.1 ± 1.4 (n = 3)"
    assert found["Supervised"][gap] == "–"
    assert found["MoCo-v2"]["Ours on Folders of classes, top-1 (%)"] == "70.1 ± 1.4 (n = 3)"
    assert found["MoCo-v2"]["Ours on Folders of classes, gap to supervised (points)"] == "not run"
    assert found["MoCo-v2"]["Ours on Folders of classes less paper, top-1 (points)"] == "+2.6 ± 1.4"
    assert found["MoCo-v2, object-dilate"]["Ours on Folders of classes, top-1 (%)"] == "not run"


@pytest.mark.parametrize("absent", ["ohms", "imagenet", "both"])
def test_a_study_may_be_absent(many, one, absent, tmp_path):
    table = table1([] if absent != "imagenet" else many, [] if absent != "ohms" else one)
    csv, md, _, page = write(table, tmp_path / "table1")
    columns = {"ohms": ["OHMS"], "imagenet": ["ImageNet"], "both": ["OHMS", "ImageNet"]}[absent]
    for column in columns:
        assert any(column in note and "no run" in note for note in md.read_text().splitlines())
    cells = [cell for row in table.cells() for cell in row]
    assert cells.count("not run") >= 17 * len(columns)
    assert "not run" in page.read_text()
    assert "not run" not in csv.read_text()


def test_other_data_than_the_papers_are_named(many, one):
    notes = "\n".join(table1(many, one).notes)
    for study, data in (("synthetic", "OHMS"), ("folders", "ImageNet")):
        assert any(
            f"study {TITLES[study]}" in note and f"for {data}" in note and "other data" in note
            for note in notes.splitlines()
        )
        assert f"study {study}" not in notes
    assert "SwAV, scene-scene: swav-scene-scene-0, swav-scene-scene-1, swav-scene-scene-2" in notes
    assert "ground_truth" not in notes
    assert "moco_v2/gt" not in notes, "ground-truth boxes are no row of the paper"
    network = {"backbone": {"name": "resnet50"}}
    ohms = variant("ohms", "moco_v2", 50.0, data={"source": "openimages", "subset": {}}, **network)
    ohms = [entry | {"train_images": 212_753} for entry in ohms]
    assert "other data" not in "".join(table1(ohms, []).notes)


def test_wrong_runs_are_refused(many, one):
    with pytest.raises(ValueError, match="synthetic have no top1, which the column imagenet"):
        table1([], many)
    with pytest.raises(ValueError, match="different study cannot be compared"):
        table1([*many, *one], [])
    assert VALUES["cmc", "scene-scene", None].top1_percent == 60.0
