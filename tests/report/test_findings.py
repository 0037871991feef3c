"""The titles of figures say what their numbers say."""

from __future__ import annotations

import pandas as pd
import pytest

from oac.report import figures, findings
from oac.report.data_figures import images_per_class, objects_per_image
from oac.report.loading import load
from oac.report.per_class import ap_per_class
from oac.report.proposal_comparison import recall_curve
from oac.report.style import TITLE_LENGTH, entitle
from oac.report.variant_style import MAX_CURVES, readable

from .conftest import run_metrics

VARIANTS = {
    "scene": ("scene-scene", "none", [0.2, 0.22, 0.21]),
    "dilate": ("object-dilate", "bing", [0.5, 0.6, 0.4]),
    "single": ("object-object", "bing", [0.45]),
}


def runs(variants):
    return [
        run_metrics("moco_v2", crops, seed, value, policy, boxes, study="some")
        for crops, (policy, boxes, values) in variants.items()
        for seed, value in enumerate(values)
    ]


def stack(runs, tables):
    names = [f"{run['method']}/{run['crops']}/seed{run['seed']}" for run in runs]
    return figures.tables_by_variant(dict(zip(names, tables, strict=True)))


def title(figure):
    return figure.get_suptitle().replace("\n", " ")


def highest(variants):
    return title(figures.map_by_policy(load(runs(variants))))


VERDICTS = ("interval includes 0", "inconclusive", "single seed, not ranked")


def holds(text, *parts):
    """Whether a title holds these numbers and names in this order, and no verdict on a difference beside them."""
    places = [text.find(part) for part in parts]
    verdicts = [verdict for verdict in VERDICTS if verdict in text and verdict not in parts]
    return min(places) >= 0 and places == sorted(places) and not verdicts


def test_the_highest_variant_is_named_with_its_distance_to_scene_crops_and_to_the_next():
    far = VARIANTS | {"dilate": ("object-dilate", "bing", [0.5, 0.53, 0.52])}
    start = "dilate (BING boxes)", "highest mAP of 3 variants", "30.7 points above scene"
    assert holds(highest(far), *start, "single (BING boxes)", "single seed, not ranked")
    three = far | {"single": ("object-object", "bing", [0.3, 0.31, 0.32])}
    assert holds(highest(three), *start), "both intervals exclude 0"
    close = far | {"single": ("object-object", "bing", [0.48, 0.58, 0.4])}
    assert holds(highest(close), *start, "single (BING boxes)", "interval includes 0")
    two = far | {"single": ("object-object", "bing", [0.3, 0.4])}
    assert holds(highest(two), *start, "single (BING boxes)", "inconclusive")
    few = three | {"scene": ("scene-scene", "none", [0.21])}
    assert holds(highest(few), "29.0 points above scene", "single seed, not ranked")
    wide = three | {"scene": ("scene-scene", "none", [0.1, 0.9, 0.2])}
    assert holds(highest(wide), "points above scene", "interval includes 0")
    assert highest(wide).count("interval includes 0") == 1, "scene crops are the next and not named again"
    best = three | {"dilate": ("object-dilate", "bing", [0.5])}
    assert holds(highest(best), "dilate (BING boxes)", "30.0 points above scene", "single seed, not ranked")
    reverse = VARIANTS | {"scene": ("scene-scene", "none", [0.9, 0.95, 0.9])}
    assert holds(highest(reverse), "scene", "highest mAP of 3 variants")
    assert "highest" not in highest({"scene": VARIANTS["scene"]})


def test_variants_of_a_longer_budget_are_not_set_against_scene_crops_of_the_usual_one():
    three = VARIANTS | {
        "dilate": ("object-dilate", "bing", [0.5, 0.53, 0.52]),
        "long": ("object-dilate", "bing", [0.9] * 3),
    }
    longer = [run | {"images_seen": 27_000 if run["crops"] == "long" else 9_000} for run in runs(three)]
    said = title(figures.map_by_policy(load(longer)))
    start = "dilate (BING boxes)", "highest mAP of 3 variants with 9,000 images seen", "30.7 points above scene"
    assert holds(said, *start, "single (BING boxes)", "single seed, not ranked")


def test_the_difference_of_a_title_is_paired_by_seed():
    spread = {
        "a": ("object-object", "bing", [0.20, 0.40, 0.60]),
        "b": ("object-dilate", "bing", [0.22, 0.42, 0.63]),
    }
    assert holds(highest(spread), "b (BING boxes)", "highest mAP of 2 variants")


def test_variants_of_single_labels_are_ranked_by_their_top1():
    # The other way round by mAP.
    single = [run | {"top1": 1 - run["map"], "top5": 1.0} for run in runs(VARIANTS)]
    figure = figures.map_by_policy(load(single))
    ranked = "scene", "highest top-1 of 3 variants", "single (BING boxes)", "single seed, not ranked"
    assert holds(title(figure), *ranked)
    axes = figure.axes[0]
    assert axes.get_xlabel().startswith("Top-1 (%)")
    means = [float(line.get_xdata()[0]) for line in axes.lines if line.get_gid() == "mean"]
    assert means == pytest.approx([79, 50, 55])


def classes_of(aps, photos):
    """Variants and AP tables of the runs of VARIANTS: class i has the AP aps(run)[i] and photos[i] photos."""
    metrics, names = runs(VARIANTS), list("abcdefgh")[: len(photos)]
    tables = [
        pd.DataFrame({"label": names, "name": names, "ap": aps(run)[: len(photos)], "train_images": photos})
        for run in metrics
    ]
    return load(metrics).variants, stack(metrics, tables)


def test_the_correlation_is_that_of_the_best_variant_and_has_its_sign():
    def falling(run):
        return [run["map"] - 0.01 * k * (1 if run["crops"] == "dilate" else -1) for k in range(8)]

    photos = [10 * 2**k for k in range(8)]
    said = title(figures.ap_by_frequency(*classes_of(falling, photos)))
    assert holds(said, "dilate (BING boxes)", "correlation", "−1.00", "8 classes, p < 0.001")
    said = title(figures.ap_by_frequency(*classes_of(falling, photos[::-1])))
    assert holds(said, "+1.00", "8 classes")
    assert "correlation" not in title(figures.ap_by_frequency(*classes_of(falling, photos[:7]))), "too few"


def test_classes_of_about_one_frequency_are_not_drawn_by_it():
    def aps(run):
        return [run["map"]] * 4

    figure = figures.ap_by_frequency(*classes_of(aps, [100, 105, 110, 114]))
    assert figure.axes == []
    assert holds(title(figure), "not drawn", "100 to 114")
    assert figures.ap_by_frequency(*classes_of(aps, [100, 105, 110, 116])).axes


def test_classes_above_the_baseline_are_counted():
    def aps(run):
        return [0.9, 0.8, 0.7, 0.1] if run["crops"] == "dilate" else [0.5, 0.5, 0.5, 0.5]

    said = title(ap_per_class(*classes_of(aps, [10, 20, 40, 80])))
    assert holds(said, "dilate (BING boxes)", "scene", "3 of 4 classes")


def test_sizes_are_those_of_the_best_variant():
    metrics = runs(VARIANTS)
    tables = [
        pd.DataFrame({"low": [0, 0.1, 0.2], "high": [0.1, 0.2, 1], "classes": 3, "positives": 4}).assign(
            ap=[float("nan"), run["map"] / 2, run["map"]]
        )
        for run in metrics
    ]
    said = title(figures.ap_by_size(load(metrics).variants, stack(metrics, tables)))
    assert holds(said, "dilate (BING boxes)", "25.0 %", "50.0 %")


def losses(ends, chance=4.0, intervals=3):
    """Histories of runs: a loss of 5 but in the last interval with one."""
    return [pd.DataFrame({"loss": [*[5.0] * (intervals - 2), last, float("nan")], "chance": chance}) for last in ends]


def test_runs_below_chance_are_counted_and_those_on_it_are_not():
    said = findings.below_chance("MoCo-v2", losses((3.0, 4.5, 3.9, 3.97)))
    assert holds(said, "MoCo-v2", "2 of 4 runs", "1 %")
    # Of a long history the last tenth counts, so that one lucky interval does not.
    said = findings.below_chance("MoCo-v2", losses((2.0, -20.0), intervals=40))
    assert holds(said, "MoCo-v2", "1 of 2 runs", "1 %")


def test_recall_classes_and_objects_are_given_in_numbers():
    rates = {"bing": {"1": 0.2, "10": 0.5, "20": 0.8}, "random": {1: 0.1, 10: 0.41}}
    assert holds(title(recall_curve(rates)), "first 10 boxes", "BING 50 %", "random 41 %")
    assert "%" not in findings.recall({"bing": {1: 0.2}, "random": {2: 0.3}}), "no number of boxes in common"
    classes = pd.DataFrame({"name": ["a", "b"], "train_images": [1200, 30]})
    assert holds(title(images_per_class(classes)), "2 classes", "30", "1,200")
    boxes = pd.DataFrame({"image_id": ["a", "a", "a", "b"]})
    assert holds(title(objects_per_image(boxes, boxes.image_id.unique())), "2.0 objects", "50 % of photos")


def shown(variants, names=None):
    return [variant.crops for variant in readable(load(variants).variants, names)]


def test_figures_with_a_curve_for_each_show_the_variants_asked_for_or_the_first():
    many = {f"variant-{k}": ("object-dilate", "bing", [0.1 + k / 100]) for k in range(MAX_CURVES + 3)}
    scene = {"scene": VARIANTS["scene"]}
    assert shown(runs(many | scene)) == [*list(many)[:MAX_CURVES], "scene"], "the baseline stays"
    assert shown(runs(many | scene), ["variant-3"]) == ["variant-3", "scene"]
    reference = [run | {"method": "random_init", "crops": "none"} for run in runs({"x": VARIANTS["scene"]})]
    assert shown([*runs(many), *reference]) == [*list(many)[:MAX_CURVES], "none"]
    assert shown([*runs(many), *reference], ["variant-9", "variant-2"]) == ["variant-2", "variant-9", "none"]


@pytest.mark.parametrize("words", [3, 60])
def test_long_titles_are_broken_and_stay_on_the_page(words):
    figure = figures.map_by_policy(load(runs(VARIANTS)))
    entitle(figure, " ".join(["48,000"] * words) + "\nsecond")
    figure.canvas.draw()
    lines = figure.get_suptitle().splitlines()
    assert max(map(len, lines)) <= TITLE_LENGTH
    assert lines[-1] == "second"
    assert figure._suptitle.get_window_extent().x1 <= figure.bbox.x1
