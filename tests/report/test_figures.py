from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from oac.report import figures
from oac.report.loading import load
from oac.report.per_class import ap_per_class
from oac.report.style import save
from oac.report.training_curves import histories
from oac.report.variant_style import colour, marker

CLASSES = ["Cat", "Dog", "Bus"]
SCENE = ("scene-scene", "scene-scene", "none")
DILATE = ("object-dilate", "object-dilate", "bing")
TRUTH = ("dilate-gt", "object-dilate", "ground_truth")
NONE = ("none", "none", "none")


def metrics(method, variant, seed, value):
    crops, policy, boxes = variant
    return {
        "study": "demo", "method": method, "crops": crops, "seed": seed, "policy": policy, "boxes": boxes,
        "map": value, "map_batch": {}, "classes": 3, "train_images": 9, "test_images": 9, "images_seen": 9,
        "recipe": {}, "recipe_hash": "x", "versions": {},
    }  # fmt: skip


def runs_of(method, variant, values):
    return [metrics(method, variant, seed, value) for seed, value in enumerate(values)]


RUNS = [
    *runs_of("moco_v2", SCENE, [0.18, 0.2, 0.19]),
    *runs_of("moco_v2", DILATE, [0.25, 0.27]),
    *runs_of("moco_v2", TRUTH, [0.3]),
    *runs_of("random_init", NONE, [0.21, 0.22, 0.2]),
    *runs_of("supervised", SCENE, [0.22]),
]


def stack(runs, tables):
    """Tables by variant, of the runs' tables."""
    names = [f"{run['method']}/{run['crops']}/seed{run['seed']}" for run in runs]
    return figures.tables_by_variant(dict(zip(names, tables, strict=True)))


def ap_tables(runs, names=CLASSES):
    """Variants and their AP tables; AP of class i is the run's mAP + i percent."""
    columns = {"label": [f"/m/{name}" for name in names], "name": names}
    counts = {"train_images": 100 * 3 ** np.arange(len(names)) % 7919 + 1, "test_images": 5}
    return load(runs).variants, stack(
        runs, [pd.DataFrame({**columns, "ap": run["map"] + np.arange(len(names)) / 100, **counts}) for run in runs]
    )


def size_tables(runs):
    """Variants and their AP by size: of three bins, the first of which is empty."""
    table = {"bin": [0, 1, 2], "low": [0, 0.04, 0.25], "high": [0.04, 0.25, 1], "classes": 3, "positives": [0, 8, 4]}
    return load(runs).variants, stack(
        runs, [pd.DataFrame({**table, "ap": [np.nan, run["map"], run["map"] + 0.1]}) for run in runs]
    )


def drawn(axes, gid):
    return [line for line in axes.lines if line.get_gid() == gid]


def test_map_points_stand_at_the_means_in_the_order_of_the_study_file():
    axes = figures.map_by_policy(load(RUNS)).axes[0]
    assert [(float(p.get_xdata()[0]), p.get_ydata()[0]) for p in drawn(axes, "mean")] == [
        (pytest.approx(19), 0),
        (pytest.approx(26), 1),
        (pytest.approx(30), 2),
        (pytest.approx(21), 3),
        (pytest.approx(22), 4),
    ]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "scene-scene",
        "object-dilate (BING boxes)",
        "dilate-gt (ground-truth boxes)",
        "Random initialisation",
        "Supervised",
    ]
    assert sorted(line.get_xdata()[0] for line in drawn(axes, "reference")) == pytest.approx([21, 22])


def test_map_has_an_interval_from_three_seeds_on_and_shows_every_seed():
    axes = figures.map_by_policy(load(RUNS)).axes[0]
    bars = {line.get_ydata()[0]: line.get_xdata() for line in drawn(axes, "interval")}
    width = stats.t.ppf(0.975, 2) * np.std([18, 20, 19], ddof=1) / np.sqrt(3)
    assert list(bars) == [0, 3], "two variants of three seeds"
    np.testing.assert_allclose(bars[0], [19 - width, 19 + width])
    seeds = [sorted(line.get_xdata()) for line in drawn(axes, "seeds")]
    assert seeds == [pytest.approx(values) for values in ([18, 19, 20], [25, 27], [20, 21, 22])]


def test_no_seed_is_cut_by_the_axis():
    """Seeds are drawn aside of their variant, and Matplotlib leaves shifted points out of the limits."""
    runs = [*runs_of("moco_v2", SCENE, [0.1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.9]), *runs_of("random_init", NONE, [0.4])]
    axes = figures.map_by_policy(load(runs)).axes[0]
    low, high = axes.get_xlim()
    assert all(low < value < high for line in drawn(axes, "seeds") for value in line.get_xdata())


@pytest.mark.parametrize("runs", [RUNS[:1], RUNS[-1:], RUNS[5:]])
def test_map_of_few_variants_is_a_figure(runs):
    figures.map_by_policy(load(runs)).draw_without_rendering()


def test_map_refuses_no_runs_and_several_studies():
    with pytest.raises(ValueError, match="no runs"):
        figures.map_by_policy(load([]))
    with pytest.raises(ValueError, match="demo, voc07"):
        figures.map_by_policy(load([*RUNS, RUNS[0] | {"study": "voc07", "seed": 9}]))


def test_tables_of_runs_are_joined_by_variant_and_name_the_seed():
    _, tables = ap_tables(RUNS)
    assert {key: len(table) for key, table in tables.items()} == {
        "moco_v2/scene-scene": 9,
        "moco_v2/object-dilate": 6,
        "moco_v2/dilate-gt": 3,
        "random_init/none": 9,
        "supervised/scene-scene": 3,
    }
    assert tables["moco_v2/object-dilate"].seed.tolist() == [0, 0, 0, 1, 1, 1]


def test_ap_per_class_draws_means_over_seeds_beside_the_baseline():
    axes = ap_per_class(*ap_tables(RUNS)).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    shown = {line.get_label(): dict(zip(names, line.get_xdata(), strict=True)) for line in axes.lines}
    assert list(shown) == ["scene-scene (baseline)", "object-dilate (BING boxes)", "dilate-gt (ground-truth boxes)"]
    for values, mean in zip(shown.values(), (19, 26, 30), strict=True):
        assert values == pytest.approx({"Cat": mean, "Dog": mean + 1, "Bus": mean + 2})


def bars(axes):
    """The ends of the intervals by class, for each variant that has some."""
    names = [label.get_text() for label in axes.get_yticklabels()]
    found = [part.get_segments() for part in axes.collections if part.get_gid() == "interval"]
    return [{names[round(one[0, 1])]: one[:, 0].tolist() for one in segments} for segments in found]


def test_ap_per_class_has_the_interval_of_a_class_from_three_seeds_on():
    axes = ap_per_class(*ap_tables(RUNS)).axes[0]
    (baseline,) = bars(axes)  # the others have two seeds and one
    width = stats.t.ppf(0.975, 2) * np.std([18, 20, 19], ddof=1) / np.sqrt(3)
    expected = {name: [mean - width, mean + width] for name, mean in (("Cat", 19), ("Dog", 20), ("Bus", 21))}
    assert set(baseline) == set(expected)
    for name, ends in expected.items():
        assert baseline[name] == pytest.approx(ends)
    assert "95 % t-interval" in axes.get_xlabel()
    heights = np.array([line.get_ydata() for line in axes.lines])
    assert np.abs(heights - np.arange(3)).max() < 0.35, "in the row of its class"
    assert len(np.unique(heights, axis=0)) == 3, "none on another"


@pytest.mark.parametrize(("others", "expected"), [(3, 4), (4, 0)])
def test_ap_per_class_has_no_intervals_of_many_variants(others, expected):
    variants = [SCENE, *((f"variant-{k}", "object-dilate", "bing") for k in range(others))]
    runs = [run for variant in variants for run in runs_of("moco_v2", variant, [0.2, 0.3, 0.4])]
    axes = ap_per_class(*ap_tables(runs)).axes[0]
    assert len(axes.lines) == others + 1
    assert len(bars(axes)) == expected
    assert ("interval" in axes.get_xlabel()) == bool(expected)


def test_variants_of_one_colour_and_shape_have_markers_of_their_own():
    """Four variants around BING boxes, as of an ablation: only what markers are filled with tells them apart."""
    variants = [SCENE, *((f"variant-{k}", "object-dilate", "bing") for k in range(4))]
    runs = [run for variant in variants for run in runs_of("moco_v2", variant, [0.2, 0.3, 0.4])]
    classes, sizes = ap_per_class(*ap_tables(runs)).axes[0], figures.ap_by_size(*size_tables(runs)).axes[0]
    frequencies = figures.ap_by_frequency(*ap_tables(runs)).axes[0]
    for lines in (classes.lines, drawn(sizes, "mean"), drawn(frequencies, "mean")):
        looks = [(line.get_marker(), line.get_color(), line.get_markerfacecolor()) for line in lines]
        assert len(set(looks)) == len(looks) == 5


def test_ap_per_class_compares_variants_that_saw_as_many_images():
    long = [run | {"images_seen": 90} for run in runs_of("moco_v2", ("long", "object-dilate", "bing"), [0.9])]
    shown = [line.get_label() for line in ap_per_class(*ap_tables([*RUNS, *long])).axes[0].lines]
    assert shown == ["scene-scene (baseline)", "object-dilate (BING boxes)", "dilate-gt (ground-truth boxes)"]


def test_ap_per_class_is_sorted_by_gain():
    tables = [
        pd.DataFrame({"label": list("abc"), "name": CLASSES, "ap": ap, "train_images": 9, "test_images": 9})
        for ap in ([0.2, 0.2, np.nan], [0.3, 0.4, 0.5])
    ]
    axes = ap_per_class(load([RUNS[0], RUNS[3]]).variants, stack([RUNS[0], RUNS[3]], tables)).axes[0]
    # The class without an AP in the baseline has no gain.
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Dog", "Cat"]


def test_many_classes_become_a_scatter_with_the_diagonal():
    names = [f"Class {i}" for i in range(60)]
    figure = ap_per_class(*ap_tables(RUNS, names))
    for axes, gain in zip(figure.axes, (7, 11), strict=True):
        points = axes.lines[1]
        np.testing.assert_allclose(points.get_xdata() + gain, points.get_ydata())
        assert "60 of 60" in axes.get_title(loc="left")
        assert axes.get_xlim() == axes.get_ylim()


def test_ap_per_class_names_the_variant_that_has_no_runs():
    with pytest.raises(ValueError, match=r"baseline moco_v2 with scene-scene.*random_init/none"):
        ap_per_class(*ap_tables(RUNS[6:9]))
    with pytest.raises(ValueError, match="any variant to compare with scene-scene"):
        ap_per_class(*ap_tables(RUNS[:3]))


def test_ap_by_size_leaves_out_empty_bins_and_draws_means():
    axes = figures.ap_by_size(*size_tables(RUNS)).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["4–25\n(8)", "25–100\n(4)"]
    means = [line.get_ydata().tolist() for line in drawn(axes, "mean")]
    assert means == [pytest.approx([mean, mean + 10]) for mean in (19, 26, 30, 21, 22)]
    intervals = [line for line in axes.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]
    assert len(intervals) == 2 * 2  # two variants of three seeds, two bins


def only(variants, tables, key):
    """One of the variants, with the tables."""
    return [variant for variant in variants if variant.key == key], tables


def test_ap_by_size_shows_the_variants_given():
    figure = figures.ap_by_size(*only(*size_tables(RUNS), "moco_v2/dilate-gt"))
    assert len(drawn(figure.axes[0], "mean")) == 1
    variants, tables = size_tables(RUNS)
    with pytest.raises(ValueError, match="no size bin"):
        figures.ap_by_size(variants, {key: table.assign(ap=np.nan) for key, table in tables.items()})
    with pytest.raises(ValueError, match="no runs"):
        figures.ap_by_size([], tables)


def test_ap_by_frequency_joins_few_classes_and_groups_many():
    few = figures.ap_by_frequency(*only(*ap_tables(RUNS), "moco_v2/object-dilate")).axes[0]
    (classes,), (curve,) = drawn(few, "classes"), drawn(few, "mean")
    np.testing.assert_allclose(classes.get_ydata(), curve.get_ydata())
    np.testing.assert_allclose(classes.get_ydata(), [26, 27, 28])
    np.testing.assert_allclose(classes.get_xdata(), curve.get_xdata(), rtol=0.02)
    names = [f"Class {i}" for i in range(16)]
    chosen, tables = only(*ap_tables(RUNS, names), "moco_v2/object-dilate")
    (curve,) = drawn(figures.ap_by_frequency(chosen, tables).axes[0], "mean")
    means = tables["moco_v2/object-dilate"].groupby("label").agg({"train_images": "first", "ap": "mean"})
    ranked = 100 * means.sort_values("train_images").ap.to_numpy()
    np.testing.assert_allclose(curve.get_ydata(), ranked.reshape(4, 4).mean(1))


@pytest.mark.parametrize("count", [1, 2, 9])
def test_points_of_a_variant_stand_nearer_to_their_place_than_to_the_next(count):
    """However many variants there are, and however few photos lie between two groups of classes."""
    runs = [metrics("moco_v2", (f"variant-{k}", "object-dilate", "bing"), 0, 0.2 + 0.01 * k) for k in range(count)]
    photos = np.linspace(519, 605, 24).round()
    names = [f"Class {k}" for k in range(24)]
    bins = [line.get_xdata() for line in drawn(figures.ap_by_size(*size_tables(runs)).axes[0], "mean")]
    variants, tables = ap_tables(runs, names)
    tables = {key: table.assign(train_images=photos) for key, table in tables.items()}
    groups = [np.log(line.get_xdata()) for line in drawn(figures.ap_by_frequency(variants, tables).axes[0], "mean")]
    for found, places in ((bins, np.arange(2)), (groups, np.log(photos).reshape(6, 4).mean(1))):
        aside = np.array(found) - places
        assert len(found) == count
        gaps = np.diff(places, prepend=-np.inf, append=np.inf)
        assert (np.abs(aside) <= 0.1501 * np.minimum(gaps[:-1], gaps[1:])).all()
        np.testing.assert_allclose(aside.mean(0), 0, atol=1e-9)
        assert (np.diff(aside, axis=0) > 0).all(), "in the order of the variants, none on another"


def test_classes_with_as_many_photos_share_a_place():
    runs = [metrics("moco_v2", (f"variant-{k}", "object-dilate", "bing"), 0, 0.2) for k in range(2)]
    variants, tables = ap_tables(runs)
    tables = {key: table.assign(train_images=[100, 100, 200]) for key, table in tables.items()}
    first, second = (line.get_xdata() for line in drawn(figures.ap_by_frequency(variants, tables).axes[0], "mean"))
    assert first[0] == first[1] < 99.9 < 100.1 < second[0] == second[1] < first[2] < 199 < 201 < second[2]


@pytest.mark.parametrize("figure", [figures.ap_by_size, figures.ap_by_frequency])
def test_intervals_of_curves_have_both_halves(figure):
    tables = size_tables(RUNS) if figure is figures.ap_by_size else ap_tables(RUNS)
    axes = figure(*only(*tables, "moco_v2/scene-scene")).axes[0]
    width = stats.t.ppf(0.975, 2) * np.std([18, 20, 19], ddof=1) / np.sqrt(3)
    (curve,) = drawn(axes, "mean")
    bars = [line for line in axes.lines if len(line.get_xdata()) == 2 and len(set(line.get_xdata())) == 1]
    assert [bar.get_xdata()[0] for bar in bars] == curve.get_xdata().tolist()
    ends = [bar.get_ydata() for bar in bars]
    np.testing.assert_allclose(ends, [[mean - width, mean + width] for mean in curve.get_ydata()])


LONG = [f"A long class name {i}" for i in range(50)]
FIGURES = {
    "map": lambda runs: figures.map_by_policy(load(runs)),
    "classes": lambda runs: ap_per_class(*ap_tables(runs)),
    "scatter": lambda runs: ap_per_class(*ap_tables(runs, LONG)),
    "size": lambda runs: figures.ap_by_size(*size_tables(runs)),
    "frequency": lambda runs: figures.ap_by_frequency(*ap_tables(runs)),
}


def test_a_figure_saved_twice_has_the_same_bytes_whatever_the_settings(tmp_path):
    save(figures.map_by_policy(load(RUNS)), tmp_path / "first")
    with matplotlib.rc_context({"font.size": 30, "savefig.bbox": "tight", "axes.facecolor": "red"}):
        save(figures.map_by_policy(load(RUNS)), tmp_path / "second")
    for suffix in ("png", "pdf"):
        assert (tmp_path / f"first.{suffix}").read_bytes() == (tmp_path / f"second.{suffix}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_variant_looks_the_same_in_every_figure():
    lines = [{"recipe": {"crops": {"policy": DILATE[1], "boxes": DILATE[2]}}}]
    lines.append({"images_seen": 1, "loss": 1.0, "chance": 1.0, "feature_std": 0.1})
    (in_history,), _ = histories({f"moco_v2/{DILATE[0]}/seed0": lines})
    looks = {variant.key: (variant.name, colour(variant), marker(variant)) for variant in load(RUNS).variants}
    assert looks["moco_v2/object-dilate"] == (in_history.name, colour(in_history), marker(in_history))
    assert len({shade for _, shade, _ in looks.values()}) == len(looks)


@pytest.mark.parametrize("name", FIGURES)
def test_variants_close_together_keep_readable_names(name, check_texts):
    check_texts(FIGURES[name]([run | {"map": 0.2 + 0.001 * i} for i, run in enumerate(RUNS)]))
