"""Paired tests between variants, compared with scipy's and with plain loops over what metrics.json holds."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from oac.probe.jackknife import pseudo_values
from oac.report.formats import html, latex, markdown, p_value
from oac.report.loading import load
from oac.report.pairs import pairs_table, photo_interval

SCENE, DILATE, SHIFT = ("moco_v2", "scene-scene"), ("moco_v2", "object-dilate"), ("moco_v2", "object-shift")
VALUES = {
    SCENE: [0.40, 0.42, 0.43],
    DILATE: [0.50, 0.47, 0.52],
    ("random_init", "none"): [0.20, 0.22, 0.21],
    ("supervised", "scene-scene"): [0.9, 0.9, 0.9],
}


@pytest.fixture
def made(metrics_of):
    """A function that makes the demo's runs of some variants from their values by seed."""

    def make(values=VALUES, study="demo"):
        every = metrics_of(study, lambda method, crops, seed: [*values.get((method, crops), ()), *[0.3] * 9][seed])
        return copy.deepcopy(
            [entry for entry in every if entry["seed"] < len(values.get((entry["method"], entry["crops"]), ()))]
        )

    return make


CONTRASTS = [(DILATE, SCENE), (DILATE, ("random_init", "none")), (SCENE, ("random_init", "none"))]


def table_of(runs, contrasts=CONTRASTS):
    return pairs_table(replace(load(runs), contrasts=contrasts))


def by_variants(table):
    keys = ["method", "crops", "against_method", "against_crops"]
    return table.frame.set_index(keys)


def test_rows_are_those_of_scipys_paired_test(made):
    table = table_of(made())
    frame = by_variants(table)
    for line, against in ((DILATE, SCENE), (DILATE, ("random_init", "none")), (SCENE, ("random_init", "none"))):
        row = frame.loc[(*line, *against)]
        first, second = 100 * np.array(VALUES[line]), 100 * np.array(VALUES[against])
        expected = stats.ttest_rel(first, second)
        low, high = expected.confidence_interval(0.95)
        assert row.n == 3
        assert row.seeds == "0 1 2"
        assert row.difference_p == pytest.approx(expected.pvalue, rel=1e-12)
        assert row.difference_points == pytest.approx(sum(first - second) / 3)
        assert row.difference_points - row.difference_half_width_points == pytest.approx(low)
        assert row.difference_points + row.difference_half_width_points == pytest.approx(high)


def test_every_variant_meets_its_scene_crops_and_no_training_and_nothing_else(made):
    frame = by_variants(table_of(made()))
    assert list(frame.index) == [
        (*DILATE, *SCENE),
        (*DILATE, "random_init", "none"),
        (*SCENE, "random_init", "none"),
        ("supervised", "scene-scene", "random_init", "none"),
    ]
    assert frame.role.tolist() == ["primary", "secondary", "secondary", "descriptive"]
    alone = by_variants(table_of(made(), contrasts=[]))
    assert set(alone.index) == set(frame.index)
    assert set(alone.role) == {"descriptive"}
    assert alone[["difference_p", "difference_p_flip", "difference_p_holm"]].isna().all(axis=None)
    shared = alone.loc[frame.index, ["difference_points", "difference_half_width_points"]]
    pd.testing.assert_frame_equal(shared, frame[shared.columns])


def test_a_contrast_of_a_variant_that_is_not_there_is_left_out(made):
    """One variant may be built by its path; the others of the study are then not there."""
    frame = by_variants(table_of([run for run in made() if run["crops"] != "scene-scene"]))
    assert frame.role.to_dict() == {(*DILATE, "random_init", "none"): "secondary"}


def test_only_the_seeds_of_both_count_and_runs_may_come_in_any_order(made):
    runs = [entry for entry in made() if (entry["crops"], entry["seed"]) != ("object-dilate", 0)]
    row = by_variants(table_of(runs)).loc[(*DILATE, *SCENE)]
    assert (row.n, row.seeds) == (2, "1 2")
    assert row.difference_points == pytest.approx(100 * (0.47 - 0.42 + 0.52 - 0.43) / 2)
    assert pd.isna([row.difference_half_width_points, row.difference_p, row.difference_p_holm]).all()
    last_first = by_variants(table_of(made()[::-1]))
    assert last_first.index[:3].tolist() == [(*first, *against) for first, against in CONTRASTS]
    pd.testing.assert_frame_equal(last_first, by_variants(table_of(made())).loc[last_first.index])


def test_below_three_seeds_there_is_a_difference_and_no_more(made):
    table = table_of(with_jackknife([entry for entry in made() if entry["seed"] < 2]))
    assert [row[4] for row in table.cells()] == ["2"] * 4
    for row in table.cells():
        assert row[5] != "–"
        assert row[6:] == ["–"] * 4


def test_variants_without_a_common_seed_are_compared_unpaired(made):
    kept = {"scene-scene": (0,), "object-dilate": (1, 2)}
    runs = [entry for entry in made() if entry["seed"] in kept.get(entry["crops"], (0, 1, 2))]
    table = table_of(runs)
    cells = {(row[2], row[3]): row[4:] for row in table.cells() if row[1] == "MoCo-v2"}
    assert cells["object-dilate (BING boxes)", "scene-scene"] == ["1 (unpaired)", "+9.5"] + ["–"] * 4
    runs = made()
    for entry in runs:
        entry["seed"] += 3 * (entry["crops"] == "object-dilate")
    row = by_variants(table_of(runs)).loc[(*DILATE, *SCENE)]
    welch = stats.ttest_ind(*(100 * np.array(VALUES[one]) for one in (DILATE, SCENE)), equal_var=False)
    assert (row.n, row.paired, row.seeds) == (3, False, "")
    assert row.difference_p == pytest.approx(welch.pvalue)
    assert row.difference_points - row.difference_half_width_points == pytest.approx(welch.confidence_interval()[0])


def test_a_variant_of_another_budget_meets_scene_crops_of_that_budget(made):
    variants = ("published", "published-long", "scene-scene-long", "scene-scene")
    values = {("moco_v2", crops): [0.3, 0.31, 0.33] for crops in variants}
    frame = table_of(made(values, study="audit")).frame
    found = set(zip(frame.crops, frame.against_crops, strict=True))
    assert found == {("published", "scene-scene"), ("published-long", "scene-scene-long")}


def test_of_several_scene_variants_the_one_of_that_name_is_the_baseline(made):
    runs = made()
    for entry in [entry for entry in runs if entry["crops"] == "scene-scene" and entry["method"] == "moco_v2"]:
        runs.insert(0, entry | {"crops": "scene-wide"})
    frame = by_variants(table_of(runs))
    assert (*DILATE, *SCENE) in frame.index
    assert ("moco_v2", "scene-wide", *SCENE) in frame.index
    assert (frame.index.get_level_values("against_crops") != "scene-wide").all()


def test_the_baseline_is_trained_with_the_same_options_where_there_is_one(made):
    """As in a search, whose object crops are compared with scene crops of the same options; and larger views."""
    runs = made({SCENE: VALUES[SCENE], DILATE: VALUES[DILATE]})
    other = [entry | {"recipe": entry["recipe"] | {"options": {"lr": 0.9}}} for entry in runs]
    other = [entry | {"crops": f"{entry['crops']}-lr"} for entry in other]
    change = {"crops": "scene-large", "recipe": runs[0]["recipe"] | {"view_size": 99}}
    large = [entry | change for entry in runs if entry["policy"] == SCENE[1]]
    frame = table_of([*runs, *other, *large], contrasts=[]).frame
    against = dict(zip(frame.crops, frame.against_crops, strict=True))
    assert against == {
        "object-dilate": "scene-scene",
        "object-dilate-lr": "scene-scene-lr",
        "scene-large": "scene-scene",
        "scene-scene-lr": "scene-scene",
    }


def test_a_study_without_two_variants_has_a_table_without_rows(made):
    table = table_of(made({SCENE: VALUES[SCENE]}))
    assert table.frame.empty
    assert "p, adjusted (Holm)" in table.frame
    for write in (markdown, latex, html):
        assert "variants against each other" in write(table)


def test_all_rows_that_are_tested_share_one_adjustment(made):
    frame = table_of(made()).frame
    tested = frame.difference_p.dropna().sort_values()
    assert len(tested) >= 3
    slow = [max(min(1, (len(tested) - j) * tested.iloc[j]) for j in range(i + 1)) for i in range(len(tested))]
    assert frame.difference_p_holm[tested.index].tolist() == pytest.approx(slow)
    assert (frame.difference_p_holm.dropna() >= frame.difference_p.dropna()).all()


def with_jackknife(runs, photos=200, images="abc"):
    """Pseudo-values of as many photos for each run, which the seed and the variant decide."""
    for place, entry in enumerate(runs):
        rng = np.random.default_rng(place)
        values = (entry["map"] + rng.normal(0, 0.3, photos)).round(6).tolist()
        entry["jackknife"] = {"low": 0.0, "high": 1.0, "images": images, "pseudo_values": values}
    return runs


def test_the_interval_over_photos_is_that_of_a_plain_loop(made):
    runs = with_jackknife(made())
    row = by_variants(table_of(runs)).loc[(*DILATE, *SCENE)]
    values = {(entry["method"], entry["crops"], entry["seed"]): entry["jackknife"]["pseudo_values"] for entry in runs}
    differences = []
    for k in range(200):
        total = 0.0
        for seed in range(3):
            total += values[(*DILATE, seed)][k] - values[(*SCENE, seed)][k]
        differences.append(100 * total / 3)
    mean, half = np.mean(differences), 1.971957 * np.std(differences, ddof=1) / 200**0.5  # Student's t, 199 degrees
    assert row.photos_low_points == pytest.approx(mean - half, rel=1e-5)
    assert row.photos_high_points == pytest.approx(mean + half, rel=1e-5)


def test_the_same_photos_leave_less_than_others():
    """The point of pairing: scores that are wrong on the same photos differ little on any test set."""
    generator = torch.Generator().manual_seed(0)
    targets = (torch.rand(150, 3, generator=generator) < 0.3).float()
    scores = targets + 1.5 * torch.randn(150, 3, generator=generator)

    def run(order):
        values = pseudo_values(scores + 0.05 * torch.randn(150, 3, generator=generator), targets)[order]
        return {"jackknife": {"images": "abc", "pseudo_values": values.tolist()}}

    seeds, own = (0, 1, 2), torch.arange(150)
    first = {seed: run(own) for seed in seeds}
    paired = photo_interval(first, {seed: run(own) for seed in seeds}, seeds)
    apart = photo_interval(first, {seed: run(own.flip(0)) for seed in seeds}, seeds)
    assert paired[1] - paired[0] < 0.5 * (apart[1] - apart[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda runs: runs[0].pop("jackknife"),
        lambda runs: runs[0].update(jackknife=None),
        lambda runs: runs[0]["jackknife"].update(images="other"),
        lambda runs: runs[0]["jackknife"]["pseudo_values"].pop(),
    ],
)
def test_without_pseudo_values_of_the_same_photos_there_is_no_interval_over_them(made, change):
    runs = with_jackknife(made())
    assert runs[0]["crops"] == "scene-scene"
    change(runs)
    frame = by_variants(table_of(runs))
    assert pd.isna(frame.loc[(*DILATE, *SCENE), "photos_low_points"])
    assert frame.loc[(*DILATE, "random_init", "none"), "photos_low_points"] > 0, "the others keep theirs"


def test_the_notes_say_what_there_is(made):
    with_none, with_all = table_of(made()), table_of(with_jackknife(made()))
    assert "probe.jackknife" in with_none.notes[-1]
    assert not any("probe.jackknife" in note for note in with_all.notes)
    tested = with_all.frame.difference_p.notna().sum()
    assert any(f"all {tested} that are tested" in note for note in with_all.notes)


def test_runs_of_two_test_sets_are_not_compared(made):
    runs = made()
    runs[0]["test_images"] += 1
    with pytest.raises(ValueError, match="test_images"):
        table_of(runs)


def test_p_reads_with_three_decimals():
    assert [p_value(value) for value in (None, float("nan"), 0.0, 0.00099, 0.0234, 1.0)] == [
        "–",
        "–",
        "< 0.001",
        "< 0.001",
        "0.023",
        "1.000",
    ]


def test_variants_of_single_labels_are_compared_by_top1(made):
    runs = [entry | {"top1": 1 - entry["map"], "top5": 1.0, "jackknife": None} for entry in made()]
    table = table_of(runs)
    row = by_variants(table).loc[(*DILATE, *SCENE)]
    assert row.difference_points == pytest.approx(100 * (np.mean(VALUES[SCENE]) - np.mean(VALUES[DILATE])))
    assert "top-1" in markdown(table)
    assert not any("mAP" in column.header for column in table.columns)
    assert "mAP" not in table.caption
