from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from oac.report import curves

SCENE = ("scene-scene", "scene-scene", "none")
DILATE = ("object-dilate", "object-dilate", "bing")
TRUE = ("dilate-true", "object-dilate", "ground_truth")


def drawn(axes, gid):
    return [line for line in axes.lines if line.get_gid() == gid]


def run_history(line, seed, losses, chance=6.5, method="moco_v2"):
    recipe = {"recipe": {"method": method, "crops": {"policy": line[1], "boxes": line[2]}}}
    rows = [
        {"images_seen": 100 * (i + 1), "loss": loss, "chance": chance, "feature_std": 0.5}
        for i, loss in enumerate(losses)
    ]
    return curves.history([recipe, *rows], method=method, crops=line[0], seed=seed)


def test_chance_is_drawn_at_its_height_and_once_where_arms_share_it():
    same = [run_history(SCENE, 0, [6.6, 6.0]), run_history(SCENE, 1, [6.7, 6.1]), run_history(DILATE, 0, [6.6, 5.0])]
    loss, spread_panel = curves.training_curves(pd.concat(same)).axes
    (chance,) = drawn(loss, "chance")
    assert set(chance.get_ydata()) == {6.5}
    assert chance.get_linestyle() == "--"
    assert [line.get_ydata().tolist() for line in drawn(loss, "run")] == [[6.6, 6.0], [6.7, 6.1], [6.6, 5.0]]
    assert spread_panel.get_ylim() == (0, 1)
    other = curves.training_curves(pd.concat([*same, run_history(TRUE, 0, [8.0], chance=9.0)])).axes[0]
    assert [set(line.get_ydata()) for line in drawn(other, "chance")] == [{6.5}, {9.0}]


def test_methods_get_panels_of_their_own():
    figure = curves.training_curves(
        pd.concat([run_history(SCENE, 0, [6.6, 6.0]), run_history(SCENE, 0, [0.7, 0.3], 0.6, "supervised")])
    )
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "MoCo-v2: 1 of 1 run ends more than 1 % below the loss of chance",
        "",
        "Supervised: 1 of 1 run ends more than 1 % below the loss of chance",
        "",
    ]
    assert figure.axes[2].get_ylim()[1] < 1


def test_a_method_with_a_longer_budget_is_drawn_to_its_end():
    long = run_history(SCENE, 0, [0.7, 0.5, 0.4, 0.3], 0.6, "supervised")
    figure = curves.training_curves(pd.concat([run_history(SCENE, 0, [6.6, 6.0]), long]))
    assert [axes.get_xlim() for axes in figure.axes] == [(100, 200), (100, 200), (100, 400), (100, 400)]


def test_a_last_interval_of_a_few_steps_is_left_out():
    def table(last):
        lines = [{"images_seen": seen, "loss": 1.0} for seen in (100, 200, 300, last)]
        return curves.history([{"recipe": {}}, *lines], method="moco_v2", crops="a", seed=0)

    assert table(310).images_seen.tolist() == [100, 200, 300]
    assert table(350).images_seen.tolist() == [100, 200, 300, 350]


def test_history_without_recipe_or_intervals_names_the_run():
    with pytest.raises(ValueError, match=r"moco_v2/object-dilate/seed4 has no interval"):
        curves.history([{"recipe": {}}], method="moco_v2", crops="object-dilate", seed=4)
    with pytest.raises(ValueError, match="no recipe"):
        curves.history([{"loss": 1.0}], method="moco_v2", crops="object-dilate", seed=4)
    with pytest.raises(ValueError, match="feature_std"):
        curves.training_curves(run_history(SCENE, 0, [1.0]).drop(columns="feature_std"))


def test_recall_is_in_percent_over_the_count_whatever_the_order_of_the_keys():
    axes = curves.recall_curve({"bing": {"10": 0.5, "1": 0.1, "2": 0.2}, "random": {"1": 0.05}}).axes[0]
    bing, random = drawn(axes, "mean")
    assert list(bing.get_xdata()) == [1, 2, 10]
    np.testing.assert_allclose(bing.get_ydata(), [10, 20, 50])
    np.testing.assert_allclose(random.get_ydata(), [5])
    with pytest.raises(ValueError, match="no detection rates"):
        curves.recall_curve({"bing": {}})


@pytest.mark.parametrize("count", [3, 50])
def test_images_per_class_go_from_frequent_to_rare(count):
    classes = pd.DataFrame({"label": range(count), "name": [f"c{i}" for i in range(count)]})
    axes = curves.images_per_class(classes.assign(train_images=classes.label + 1)).axes[0]
    heights = [bar.get_width() for bar in axes.patches] or axes.lines[0].get_ydata().tolist()
    assert heights == list(range(count, 0, -1))
    with pytest.raises(ValueError, match="no classes"):
        curves.images_per_class(classes.assign(train_images=0).iloc[:0])


def test_objects_per_image_counts_photos_without_boxes_only_where_asked_for():
    boxes = pd.DataFrame({"image_id": ["a"] * 3 + ["b"]})
    bars = {
        round(b.get_x() + b.get_width() / 2): b.get_height() for b in curves.objects_per_image(boxes).axes[0].patches
    }
    assert bars == {1: 50.0, 2: 0.0, 3: 50.0}
    axes = curves.objects_per_image(boxes, ["a", "c"]).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [50.0, 0.0, 0.0, 50.0]
    assert axes.lines[0].get_xdata()[0] == 1.5


def test_curves_that_end_close_together_keep_readable_names(check_texts):
    check_texts(
        curves.training_curves(pd.concat([run_history(line, 0, [6.0, 5.9]) for line in (SCENE, DILATE, TRUE)]))
    )
    check_texts(curves.recall_curve({"bing": {1: 0.1, 10: 0.11}, "ground_truth": {1: 0.1, 10: 0.12}}))
