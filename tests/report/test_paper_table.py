"""The paper's numbers as a table: it says what check.json says, and where the paper says nothing."""

from __future__ import annotations

import pandas as pd
import pytest

from oac.report.check import NOT_COMPARABLE, NOT_KNOWN, NOT_RUN, SAME_SIGN, check, paper_table
from oac.report.formats import points
from oac.report.loading import load
from oac.report.results import METHOD_NAMES, Names


@pytest.fixture
def metrics(metrics_of):
    """The demo with a clear order of its variants."""
    values = {"scene-scene": 0.4, "object-dilate": 0.6, "object-dilate-gt": 0.7}
    every = metrics_of("demo", lambda method, crops, seed: values.get(crops, 0.3) + seed / 1000)
    return [entry for entry in every if entry["seed"] < 3]


def test_every_number_of_the_check_has_a_row_in_its_order(metrics):
    checked = check(load(metrics))
    table = paper_table(checked, load(metrics))
    rows = table.frame.head(len(checked["values"]))
    assert rows.what.tolist() == [entry["what"] for entry in checked["values"]]
    for entry, (_, row), cells in zip(checked["values"], rows.iterrows(), table.cells(), strict=False):
        assert (row.paper, row.status, row.n, row.source) == tuple(
            entry[k] for k in ("paper", "status", "n", "source")
        )
        assert cells[1] == f"{entry['paper']:.1f}"
        if entry["ours"] is None:
            assert cells[2:5] == ["–", "–", "–"]
        else:
            assert row.difference == pytest.approx(entry["ours"] - entry["paper"])
            assert cells[2].startswith(points(entry["ours"]))
            assert cells[2].endswith(f"(n = {entry['n']})")
            assert ("±" in cells[2]) == (entry["half_width"] is not None)
    assert {row[0]: row[3] for row in table.cells()}["MoCo-v2, scene-scene, mAP"] == "60.1"  # 20 points more here
    statuses = {row[0]: row[5] for row in table.cells()}
    assert statuses["object-dilate over scene-scene, table"] == f"{SAME_SIGN} (sign)"
    assert statuses["MoCo-v2, object-dilate (BING boxes), mAP"] == NOT_COMPARABLE
    assert statuses["BYOL, scene-scene, mAP"] == NOT_RUN


def test_keys_stand_nowhere_in_what_people_read(metrics):
    table = paper_table(
        check(load(metrics)), load(metrics, Names(title="The study", labels={"object-object": "Both"}))
    )
    assert "The study" in table.caption
    names = [row[0] for row in table.cells()]
    assert len(names) == len(set(names))
    assert "MoCo-v2, Both (BING boxes), mAP" in names
    for key in (*METHOD_NAMES, "bing", "ground_truth"):
        assert not [name for name in names if key in name.split(", ")], key


def test_a_variant_that_the_paper_has_no_number_for_says_so(metrics):
    checked = check(load(metrics))
    table = paper_table(checked, load(metrics))
    others = {row[0]: row for row in table.cells()[len(checked["values"]) :]}
    assert set(others) == {
        "MoCo-v2, object-object (BING boxes), mAP",
        "MoCo-v2, object-dilate-gt (ground-truth boxes), mAP",
        "MoCo-v2, object-dilate-random (random boxes), mAP",
        "Random initialisation, mAP",
    }
    ground_truth = others["MoCo-v2, object-dilate-gt (ground-truth boxes), mAP"]
    assert ground_truth[1] == NOT_KNOWN
    assert ground_truth[2].startswith("70.1 ± ")
    assert ground_truth[3:6] == ["90.1", "–", "–"]
    variants = set(" ".join(table.frame.variants).split())
    assert variants == {f"{entry['method']}/{entry['crops']}" for entry in metrics}, (
        "no variant of the study is missing"
    )


def test_variants_of_single_labels_have_their_top1(metrics):
    single = [entry | {"top1": 0.25, "top5": 0.5} for entry in metrics]
    others = {row[0]: row for row in paper_table(check(load(single)), load(single)).cells()}
    ground_truth = others["MoCo-v2, object-dilate-gt (ground-truth boxes), top-1"]
    assert ground_truth[2].startswith("25.0")
    assert ground_truth[3] == "–"


def test_the_notes_count_as_the_check_does(metrics):
    checked = check(load(metrics))
    assert f"{checked['counts'][NOT_RUN]} {NOT_RUN}" in paper_table(checked, load(metrics)).notes[0]


def test_where_all_variants_are_the_papers_nothing_is_added(metrics):
    known = [entry for entry in metrics if entry["crops"] in ("scene-scene", "object-dilate")]
    checked = check(load(known))
    table = paper_table(checked, load(known))
    assert len(table.frame) == len(checked["values"])
    assert not any("At the end" in note for note in table.notes)
    assert pd.notna(table.frame.paper).all()
