"""The titles of figures say what their numbers say."""

from __future__ import annotations

import pandas as pd
import pytest

from oac.report import figures, findings
from oac.report.curves import images_per_class, objects_per_image, recall_curve
from oac.report.style import MOST_LINES, TITLE_LENGTH, arms_of, entitle, readable
from oac.report.tables import collect

LINES = {
    "scene": ("scene-scene", "none", [0.2, 0.22, 0.21]),
    "dilate": ("object-dilate", "bing", [0.5, 0.6, 0.4]),
    "single": ("object-object", "bing", [0.45]),
}


def runs(lines):
    return [
        {
            "study": "some", "method": "moco_v2", "crops": crops, "seed": seed, "policy": policy, "boxes": boxes,
            "map": value, "map_batch": {}, "classes": 3, "train_images": 9, "test_images": 9, "images_seen": 9,
            "recipe_hash": "x", "versions": {},
        }
        for crops, (policy, boxes, values) in lines.items()
        for seed, value in enumerate(values)
    ]  # fmt: skip


def title(figure):
    return figure.get_suptitle().replace("\n", " ")


def test_the_highest_line_is_named_with_its_distance_to_scene_crops():
    assert title(figures.map_by_policy(collect(runs(LINES)))) == (
        "dilate (BING boxes) has the highest mAP of 3 lines on some, 29.0 points above scene"
        " (n = 1, which tells no order)"  # of the next line
    )
    single = LINES | {"single": ("object-object", "bing", [0.7])}
    assert title(figures.map_by_policy(collect(runs(single)))) == (
        "single (BING boxes) has the highest mAP of 3 lines on some, 49.0 points above scene"
        " (n = 1, which tells no order)"
    )
    close = LINES | {"single": ("object-object", "bing", [0.48, 0.58, 0.4])}
    assert title(figures.map_by_policy(collect(runs(close)))) == (
        "dilate (BING boxes) has the highest mAP of 3 lines on some, 29.0 points above scene; not told apart from"
        " single (BING boxes)"
    )
    few = close | {"scene": ("scene-scene", "none", [0.21])}
    assert title(figures.map_by_policy(collect(runs(few)))).endswith(
        "single (BING boxes) (n = 1, which tells no order)"
    )
    reverse = LINES | {"scene": ("scene-scene", "none", [0.7, 0.8, 0.9])}
    assert title(figures.map_by_policy(collect(runs(reverse)))) == "scene has the highest mAP of 3 lines on some"
    assert title(figures.map_by_policy(collect(runs({"scene": LINES["scene"]})))) == "mAP of scene on some"


def test_lines_of_single_labels_are_ranked_by_their_top1():
    # The other way round by mAP.
    single = [run | {"top1": 1 - run["map"], "top5": 1.0} for run in runs(LINES)]
    figure = figures.map_by_policy(collect(single))
    assert title(figure).startswith("scene has the highest top-1 of 3 lines on some (n = 1")
    axes = figure.axes[0]
    assert axes.get_xlabel().startswith("Top-1 (%)")
    means = [float(line.get_xdata()[0]) for line in axes.lines if line.get_gid() == "mean"]
    assert means == pytest.approx([79, 50, 55])


def classes_of(aps, photos):
    """AP tables of the runs of LINES: class i has the AP aps(run)[i]."""
    metrics = runs(LINES)
    tables = [
        pd.DataFrame({"label": list("abcd"), "name": list("abcd"), "ap": aps(run), "train_images": photos})
        for run in metrics
    ]
    return figures.stack(metrics, tables)


def test_the_correlation_is_that_of_the_best_line_and_has_its_sign():
    def falling(run):
        return [run["map"] - 0.01 * k * (1 if run["crops"] == "dilate" else -1) for k in range(4)]

    shown = title(figures.ap_by_frequency(classes_of(falling, [10, 20, 40, 80])))
    assert shown == "dilate (BING boxes): rank correlation of AP and photos of a class −1.00 over 4 classes"
    shown = title(figures.ap_by_frequency(classes_of(falling, [80, 40, 20, 10])))
    assert shown.endswith("+1.00 over 4 classes")
    assert "correlation" not in title(figures.ap_by_frequency(classes_of(falling, [10, 10, 10, 10])))


def test_classes_above_the_baseline_are_counted():
    def aps(run):
        return [0.9, 0.8, 0.7, 0.1] if run["crops"] == "dilate" else [0.5, 0.5, 0.5, 0.5]

    shown = title(figures.ap_per_class(classes_of(aps, [10, 20, 40, 80])))
    assert shown == "dilate (BING boxes) is above scene in 3 of 4 classes"


def test_sizes_are_those_of_the_best_line():
    metrics = runs(LINES)
    tables = [
        pd.DataFrame({"low": [0, 0.1, 0.2], "high": [0.1, 0.2, 1], "classes": 3, "positives": 4}).assign(
            ap=[float("nan"), run["map"] / 2, run["map"]]
        )
        for run in metrics
    ]
    shown = title(figures.ap_by_size(figures.stack(metrics, tables)))
    assert shown == "dilate (BING boxes): AP of 25.0 % where objects are small, of 50.0 % where they are large"


def losses(ends, chance=4.0, intervals=3):
    """Histories of runs, a seed each: a loss of 5 but in the last interval with one."""
    return pd.concat(
        pd.DataFrame({"method": "moco_v2", "crops": "scene", "seed": seed, "policy": "scene-scene", "boxes": None,
                      "loss": [*[5.0] * (intervals - 2), last, float("nan")], "chance": chance},
                     index=range(intervals))
        for seed, last in enumerate(ends)
    )  # fmt: skip


def test_runs_below_chance_are_counted_and_those_on_it_are_not():
    found = findings.below_chance("MoCo-v2", arms_of(losses((3.0, 4.5, 3.9, 3.97))))
    assert found == "MoCo-v2: 2 of 4 runs end more than 1 % below the loss of chance"
    # Of a long history the last tenth counts, so that one lucky interval does not.
    found = findings.below_chance("MoCo-v2", arms_of(losses((2.0, -20.0), intervals=40)))
    assert found == "MoCo-v2: 1 of 2 runs end more than 1 % below the loss of chance"


def test_boxes_classes_and_objects_are_told_in_numbers():
    rates = {"bing": {"1": 0.2, "10": 0.5, "20": 0.8}, "random": {1: 0.1, 10: 0.41}}
    assert title(recall_curve(rates)) == "The first 10 boxes find, of a photo's objects: BING 50 %, random 41 %"
    assert findings.found_by({"bing": {1: 0.2}, "random": {2: 0.3}}) == "Objects found by the first proposals"
    classes = pd.DataFrame({"name": ["a", "b"], "train_images": [1200, 30]})
    assert title(images_per_class(classes)) == "2 classes of 30 to 1,200 training photos"
    boxes = pd.DataFrame({"image_id": ["a", "a", "a", "b"]})
    assert title(objects_per_image(boxes)) == "2.0 objects in a photo on average; 50 % of photos hold several"


def test_figures_with_a_curve_for_each_show_the_lines_asked_for_or_the_first():
    many = {f"line-{k}": ("object-dilate", "bing", [0.1 + k / 100]) for k in range(MOST_LINES + 3)}
    scene = {"scene": LINES["scene"]}
    assert {*readable(collect(runs(many | scene))).crops} == {*list(many)[:MOST_LINES], "scene"}, "the baseline stays"
    assert {*readable(collect(runs(many | scene)), ["line-3"]).crops} == {"line-3", "scene"}
    table = collect(
        [*runs(many), *(run | {"method": "random", "crops": "none"} for run in runs({"x": LINES["scene"]}))]
    )
    assert list(readable(table).crops.unique()) == [*list(many)[:MOST_LINES], "none"]
    assert list(readable(table, ["line-9", "line-2"]).crops.unique()) == ["line-2", "line-9", "none"]
    assert len(readable(table, ["line-9"]).query("method == 'random'")) == 3


@pytest.mark.parametrize("words", [3, 60])
def test_long_titles_are_broken_and_stay_on_the_page(words):
    figure = figures.map_by_policy(collect(runs(LINES)))
    entitle(figure, " ".join(["48,000"] * words) + "\nsecond")
    figure.canvas.draw()
    lines = figure.get_suptitle().splitlines()
    assert max(map(len, lines)) <= TITLE_LENGTH
    assert lines[-1] == "second"
    assert figure._suptitle.get_window_extent().x1 <= figure.bbox.x1
