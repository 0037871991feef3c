"""The audit finds its own pairs and gives an option the effect that the numbers were made with."""

from __future__ import annotations

import copy
import json
import math

import pytest
from scipy import stats

from oac.pretrain.recipe import canonical
from oac.report.audit import AUDITED, audit_table, over_scene_crops, released, steps
from oac.report.audit_figure import audit_figure
from oac.report.formats import latex, markdown
from oac.report.loading import load

# What each option adds when it is switched to the released value, in points, and what three seeds differ by.
EFFECT = {
    "boxes": 3.0,
    "dilation": -1.0,
    "delta": 0.5,
    "items": 2.0,
    "scales": -4.0,
    "smallest_box": 1.5,
    "heads": -1.1,
}
SEEDS = {0: -0.4, 1: 0.1, 2: 0.3}
LONG = 6.0


def score(method, crops, seed):
    """An additive world: a variant has the effects of its released options; a seed shifts all variants alike."""
    order = list(AUDITED)
    if method == "random_init":
        return 0.1
    if crops.startswith("scene"):
        value = 30.0
    else:
        there = crops.partition("-")[0]
        count = {"published": 0, "released": len(order)}.get(there)
        if there == "to":
            switched = order[: int(crops.split("-")[1])]
        elif there == "back":
            switched = order[int(crops.split("-")[1]) :]
        else:
            switched = order[:count]
        value = 40 + sum(EFFECT[option] for option in switched)
    return (value + LONG * crops.endswith("-long") + SEEDS.get(seed, 0)) / 100


@pytest.fixture(scope="module")
def metrics(metrics_of):
    return [entry for entry in metrics_of("audit", score) if entry["seed"] in SEEDS]


def test_every_option_is_met_on_the_way_there_and_on_the_way_back(metrics):
    found = steps(load(metrics).of("moco_v2"))
    assert [step.option for step in found] == [option for option in AUDITED for _ in range(2)] + ["budget"] * 3
    for option in AUDITED:
        pair = [step for step in found if step.option == option]
        before = list(AUDITED)[: list(AUDITED).index(option)]
        after = list(AUDITED)[list(AUDITED).index(option) + 1 :]
        assert sorted(released(step.before) for step in pair) == sorted([before, after])
        assert all(set(released(step.after)) == {*released(step.before), option} for step in pair)
        assert len(released(pair[0].before)) <= len(released(pair[1].before)), "the more published context first"


def test_an_options_effect_is_what_it_adds_in_every_context(metrics):
    frame = audit_table(load(metrics)).frame
    for option, effect in EFFECT.items():
        rows = frame[frame.option == option]
        assert len(rows) == 2
        assert rows.map_points.tolist() == pytest.approx([effect, effect])
        assert rows.batch_points.tolist() == pytest.approx([effect, effect])
        assert rows.reported_points.tolist() == pytest.approx([effect, effect])
        assert rows.map_half_width_points.tolist() == pytest.approx([0, 0], abs=1e-9), (
            "seeds shift both variants alike"
        )
        assert (rows.images_seen_before == rows.images_seen_after).all(), "at equal budgets"
    longer = frame[frame.option == "budget"]
    assert longer.map_points.tolist() == pytest.approx([LONG] * 3)
    assert (longer.images_seen_after > 3 * longer.images_seen_before).all()
    assert frame[frame.option == "metric"].batch_points.isna().all()
    assert frame[frame.option == "metric"].map_points.tolist() == pytest.approx([20.0] * 3)
    picked = frame[frame.option == "picked"]
    assert picked.map_points.tolist() == pytest.approx([1.0] * 3)
    assert picked.batch_points.tolist() == pytest.approx([5.0] * 3)


def test_object_crops_are_compared_at_equal_steps_and_as_the_released_code_does(metrics):
    found = {(step.before.crops, step.after.crops): step for step in over_scene_crops(load(metrics).of("moco_v2"))}
    assert set(found) == {
        ("scene-scene", "published"),
        ("scene-scene", "released"),
        ("scene-scene", "published-long"),
        ("scene-scene", "released-long"),
        ("scene-scene-long", "published-long"),
        ("scene-scene-long", "released-long"),
    }
    assert found["scene-scene-long", "released-long"].option == "as released, equal steps"
    assert found["scene-scene", "released-long"].option == "as released, more steps"
    frame = audit_table(load(metrics)).frame.set_index(["crops_before", "crops_after"])
    gain = 10 + sum(EFFECT.values())
    assert frame.loc[("scene-scene", "released-long"), "map_points"] == pytest.approx(gain + LONG)
    assert frame.loc[("scene-scene-long", "released-long"), "map_points"] == pytest.approx(gain)


def test_two_variants_that_differ_in_more_than_one_option_are_no_step(metrics):
    """Of 18 variants 14 pairs differ in one option of the protocol: a brute search over the recipes agrees."""
    recipes = {entry["crops"]: entry["recipe"] for entry in metrics if entry["method"] == "moco_v2"}
    defaults = {"dilation": "photo", "items": "image", "smallest_box": "none", "scales": None}

    def flat(recipe):
        ranges = {"scale_lower": None, "scale_cap": None}  # say nothing beside scales
        line = {**defaults, **recipe["crops"], **ranges, "heads": recipe["options"]["heads"]}
        return {key: json.dumps(value) for key, value in line.items()} | {"images_seen": recipe["images_seen"]}

    names = sorted(name for name in recipes if not name.startswith("scene"))
    one = {
        frozenset((a, b))
        for a in names
        for b in names
        if sum(flat(recipes[a])[key] != flat(recipes[b])[key] for key in flat(recipes[a])) == 1
    }
    found = {frozenset((step.before.crops, step.after.crops)) for step in steps(load(metrics).of("moco_v2"))}
    assert {pair for pair in found if not any(name.startswith("scene") for name in pair)} == one
    assert len({canonical(recipe) for recipe in recipes.values()}) == len(recipes)


def test_the_table_reads_as_text_and_says_where_its_numbers_come_from(metrics):
    table = audit_table(load(metrics))
    page = markdown(table)
    (boxes,) = [row for row in table.cells() if row[4] == "published, to-1-boxes"]
    assert boxes[:4] == ["Boxes", "BING", "ground truth", "none"]
    assert boxes[5:8] == ["3", "40.0", "43.0"]
    assert boxes[8] == "+3.0"
    assert boxes[9] == "+3.0 to +3.0"
    headers = [column.header for column in table.columns]
    assert ["95 %" in header for header in headers[8:11]] == [False, True, False]
    assert "adjusted" in headers[10]
    assert "s_min to 1 | 0 to 1 and 0.2 to 1" in page
    assert "as released, equal steps" in page
    assert r"\toprule" in latex(table)
    hashes = {entry["recipe_hash"] for entry in metrics}
    assert all(digest in page for digest in hashes)


def test_the_table_says_what_its_seeds_can_tell(metrics):
    """Against a plain computation: seeds differ in the effects of some options here."""
    runs = copy.deepcopy(metrics)
    for place, entry in enumerate(runs):
        entry["map"] += 0.03 * math.sin(7 * place)
    (said,) = audit_table(load(runs)).findings
    maps = {(entry["crops"], entry["seed"]): 100 * entry["map"] for entry in runs}
    variances = []
    for step in steps(load(runs).of("moco_v2")):
        changes = [maps[step.after.crops, seed] - maps[step.before.crops, seed] for seed in SEEDS]
        mean = sum(changes) / 3
        variances.append(sum((change - mean) ** 2 for change in changes) / 2)
    spread = math.sqrt(sum(variances) / len(variances))
    widths = {n: stats.t.ppf(0.975, n - 1) * spread / math.sqrt(n) for n in range(3, 2000)}
    needed = min(n for n, width in widths.items() if width <= 2)
    assert f"the {len(variances)} comparisons" in said
    assert f"{spread:.1f} points" in said
    assert f"half-width of {widths[3]:.1f} points" in said
    assert f"take {needed} seeds" in said
    assert needed > 3
    assert said in markdown(audit_table(load(runs))).split("<details>")[0], "it is not folded"


def test_a_probe_without_epochs_has_no_row_of_picking_and_no_reported_effect(metrics_of):
    frame = audit_table(load(metrics_of("audit", score, best=False))).frame
    assert not (frame.option == "picked").any()
    assert frame.reported_points.isna().all()


def row_of(runs, option, before):
    frame = audit_table(load(runs)).frame
    return frame[(frame.option == option) & (frame.crops_before == before)].iloc[0]


def test_what_the_released_code_reports_is_the_best_epochs_mean_over_batches(metrics):
    """Picking adds more after the first switch here, so that the last epoch's would show."""
    runs = copy.deepcopy(metrics)
    for entry in runs:
        if entry["crops"] == "to-1-boxes":
            entry["best_epoch"]["best"]["map_batch_256"] += 0.07 + 0.01 * entry["seed"]
            entry["best_epoch"]["best"]["map"] += 0.5
    row = row_of(runs, "boxes", "published")
    assert row.reported_points == pytest.approx(EFFECT["boxes"] + 8.0)
    assert row.reported_half_width_points == pytest.approx(stats.t.ppf(0.975, 2) / math.sqrt(3))
    assert (row.map_points, row.batch_points) == (pytest.approx(EFFECT["boxes"]), pytest.approx(EFFECT["boxes"]))


@pytest.mark.parametrize(("without", "effect"), [({0}, 3.5), ({2}, 2.5), ({0, 1}, 4.0), ({0, 1, 2}, None)])
def test_the_reported_effect_is_of_the_seeds_with_a_best_epoch_on_both_sides(metrics, without, effect):
    """Whichever these are: a probe can have been run again without its epochs."""
    runs = copy.deepcopy(metrics)
    for entry in runs:
        if entry["crops"] == "to-1-boxes":
            entry["best_epoch"]["best"]["map_batch_256"] += (entry["seed"] - 1) / 100
            if entry["seed"] in without:
                del entry["best_epoch"]
    row = row_of(runs, "boxes", "published")
    assert row.n == 3
    assert row.map_points == pytest.approx(EFFECT["boxes"])
    assert (row.reported_points == pytest.approx(effect)) if effect else math.isnan(row.reported_points)
    assert math.isnan(row.reported_half_width_points), "fewer than three"


def test_a_study_without_such_variants_is_told_so(metrics_of):
    metrics = [entry for entry in metrics_of("audit", score) if entry["crops"] in ("none", "scene-scene")]
    for report in (audit_figure, audit_table):
        with pytest.raises(ValueError, match="config/studies/audit"):
            report(load(metrics))


def test_the_figure_has_the_intervals_of_the_table_and_says_which_way_a_row_was_walked(metrics):
    """Seeds differ in the effect of boxes: the row's markers are those of the walk there and of the walk back."""
    runs = copy.deepcopy(metrics)
    for entry in runs:
        if "1-boxes" in entry["crops"]:
            entry["map"] += 0.01 * SEEDS[entry["seed"]] * (1 if entry["crops"].startswith("to") else 2)
    figure = audit_figure(load(runs))
    frame = audit_table(load(runs)).frame
    axes = figure.axes[0]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    row = labels.index("Boxes: BING\n→ ground truth")
    found = {gid: [line for line in axes.lines if line.get_gid() == gid] for gid in ("mean", "interval")}
    near = {gid: [line for line in lines if abs(line.get_ydata()[0] - row) < 0.5] for gid, lines in found.items()}
    there, back = (frame[(frame.option == "boxes")].iloc[k] for k in range(2))
    assert (there.crops_before, back.crops_before) == ("published", "back-1-boxes")
    looks = []
    for wanted, mean, bar in zip((there, back), near["mean"], near["interval"], strict=True):
        assert mean.get_xdata()[0] == pytest.approx(wanted.map_points)
        half = wanted.map_half_width_points
        assert half > 0.5
        assert list(bar.get_xdata()) == pytest.approx([wanted.map_points - half, wanted.map_points + half])
        assert bar.get_color() == mean.get_color()
        looks.append((mean.get_marker(), mean.get_color(), mean.get_markerfacecolor()))
    (legend,) = figure.legends
    named = {
        text.get_text(): (line.get_marker(), line.get_color(), line.get_markerfacecolor())
        for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)
    }
    assert looks == [named["other options mostly as published"], named["mostly as released"]]
    scene = row_of(runs, "budget", "scene-scene")
    (mean,) = [
        line
        for line in found["mean"]
        if labels[round(line.get_ydata()[0])].startswith("Steps") and line.get_marker() == "D"
    ]
    assert mean.get_xdata()[0] == pytest.approx(scene.map_points)
    assert named["scene crops"][0] == "D"


@pytest.mark.parametrize(("spread", "cautioned"), [(0.001, False), (0.3, True)])
def test_the_title_cautions_where_an_interval_includes_zero_and_nowhere_else(metrics, spread, cautioned):
    """Published crops are 10 points above scene crops here, but for what their seeds differ by."""
    runs = copy.deepcopy(metrics)
    for entry in runs:
        if entry["policy"] == "object-dilate":
            entry["map"] += spread * SEEDS[entry["seed"]]
    title = audit_figure(load(runs)).get_suptitle().replace("\n", " ")
    assert "as published" in title
    assert ("interval includes 0" in title) == cautioned
    assert "excludes" not in title


def test_the_figure_shows_every_difference_of_the_table(metrics, check_texts):
    figure = audit_figure(load(metrics))
    frame = audit_table(load(metrics)).frame
    left, right = figure.axes
    for axes, column in ((left, "map_points"), (right, "batch_points")):
        drawn = sorted(float(line.get_xdata()[0]) for line in axes.lines if line.get_gid() == "mean")
        assert drawn == pytest.approx(sorted(value for value in frame[column] if not math.isnan(value)))
    labels = [text.get_text() for text in left.get_yticklabels()]
    assert len(labels) == len(set(labels))
    assert len(labels) == len(AUDITED) + 3 + 6
    assert "audit" in figure.get_suptitle()
    check_texts(figure)
