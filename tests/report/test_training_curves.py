from __future__ import annotations

import pytest

from oac.report.training_curves import histories, training_curves

SCENE = ("scene-scene", "scene-scene", "none")
DILATE = ("object-dilate", "object-dilate", "bing")
TRUTH = ("dilate-gt", "object-dilate", "ground_truth")


def drawn(axes, gid):
    return [line for line in axes.lines if line.get_gid() == gid]


def history(variant, seed, losses, chance=6.5, method="moco_v2"):
    """A run and the lines of its history."""
    recipe = {"recipe": {"method": method, "crops": {"policy": variant[1], "boxes": variant[2]}}}
    rows = [
        {"images_seen": 100 * (i + 1), "loss": loss, "chance": chance, "feature_std": 0.5}
        for i, loss in enumerate(losses)
    ]
    return f"{method}/{variant[0]}/seed{seed}", [recipe, *rows]


def figure_of(*runs):
    return training_curves(*histories(dict(runs)))


def test_chance_is_drawn_at_its_height_and_once_where_variants_share_it():
    same = [history(SCENE, 0, [6.6, 6.0]), history(SCENE, 1, [6.7, 6.1]), history(DILATE, 0, [6.6, 5.0])]
    loss, spread_panel = figure_of(*same).axes
    (chance,) = drawn(loss, "chance")
    assert set(chance.get_ydata()) == {6.5}
    assert chance.get_linestyle() == "--"
    assert [line.get_ydata().tolist() for line in drawn(loss, "run")] == [[6.6, 6.0], [6.7, 6.1], [6.6, 5.0]]
    assert spread_panel.get_ylim() == (0, 1)
    other = figure_of(*same, history(TRUTH, 0, [9.1, 8.0], chance=9.0)).axes[0]
    assert [set(line.get_ydata()) for line in drawn(other, "chance")] == [{6.5}, {9.0}]


def test_methods_get_panels_of_their_own():
    figure = figure_of(history(SCENE, 0, [6.6, 6.0]), history(SCENE, 0, [0.7, 0.3], 0.6, "supervised"))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title.partition(":")[0] for title in titles] == ["MoCo-v2", "", "Supervised", ""]
    assert ["1 of 1 run" in title for title in titles] == [True, False, True, False]
    assert figure.axes[2].get_ylim()[1] < 1


def test_a_method_with_a_longer_budget_is_drawn_to_its_end():
    long = history(SCENE, 0, [0.7, 0.5, 0.4, 0.3], 0.6, "supervised")
    figure = figure_of(history(SCENE, 0, [6.6, 6.0]), long)
    assert [axes.get_xlim() for axes in figure.axes] == [(100, 200), (100, 200), (100, 400), (100, 400)]


def test_a_variant_of_another_budget_of_the_same_method_gets_panels_of_its_own():
    """So that a label stands at the edge only where its curve ends."""
    short = [history(SCENE, 0, [6.6, 6.0]), history(DILATE, 0, [6.6, 5.0])]
    figure = figure_of(history(TRUTH, 0, [6.6, 6.0, 5.0, 4.0]), *short)
    assert [axes.get_xlim() for axes in figure.axes] == [(100, 200), (100, 200), (100, 400), (100, 400)]
    titles = [axes.get_title(loc="left") for axes in figure.axes[::2]]
    assert "200 images" in titles[0]
    assert "400 images" in titles[1]
    assert [len(drawn(axes, "run")) for axes in figure.axes[::2]] == [2, 1]
    for axes in figure.axes:
        ends = [line.get_xdata()[-1] for line in drawn(axes, "run")]
        assert set(ends) == {axes.get_xlim()[1]}


def test_a_last_interval_of_a_few_steps_is_left_out():
    def table(last):
        run, lines = history(SCENE, 3, [1.0] * 4)
        lines[-1]["images_seen"] = last
        (variant,), tables = histories({run: lines})
        return tables[variant.key]

    assert table(310).images_seen.tolist() == [100, 200, 300]
    assert table(350).images_seen.tolist() == [100, 200, 300, 350]
    assert set(table(350).seed) == {3}


def test_a_reference_of_several_crop_variants_is_named_with_them():
    one, other = (history(variant, 0, [1.0], method="supervised") for variant in (SCENE, DILATE))
    names = [[variant.name for variant in histories(dict(runs))[0]] for runs in ([one], [one, other])]
    assert names == [["Supervised"], ["Supervised, scene-scene", "Supervised, object-dilate"]]


def test_beside_other_methods_moco_is_named():
    scene, other = history(SCENE, 0, [6.6, 6.0]), history(SCENE, 0, [0.7, 0.3], 0.6, "byol")
    names = [[variant.name for variant in histories(dict(runs))[0]] for runs in ([scene], [scene, other])]
    assert names == [["scene-scene"], ["MoCo-v2, scene-scene", "BYOL, scene-scene"]]


def test_history_without_recipe_intervals_or_columns_names_the_run():
    run, (recipe, row) = history(DILATE, 4, [1.0])
    with pytest.raises(ValueError, match=r"moco_v2/object-dilate/seed4 has no interval"):
        histories({run: [recipe]})
    with pytest.raises(ValueError, match="no recipe"):
        histories({run: [row]})
    with pytest.raises(ValueError, match="object-dilate/seed4 has no column feature_std"):
        histories({run: [recipe, {key: value for key, value in row.items() if key != "feature_std"}]})
    with pytest.raises(ValueError, match="no runs"):
        training_curves([], {})


def test_curves_that_end_close_together_keep_readable_names(check_texts):
    check_texts(figure_of(*(history(variant, 0, [6.0, 5.9]) for variant in (SCENE, DILATE, TRUTH))))


def test_the_budget_in_a_title_is_not_that_of_the_interval_before_the_last():
    """80,000 images whose last 128 are left out."""
    runs = [history(SCENE, 0, [6.6, 6.0]), history(TRUTH, 0, [6.6, 6.0, 5.0])]
    for line, seen in zip(runs[1][1][1:], (40_000, 79_872, 80_000), strict=True):
        line["images_seen"] = seen
    assert "about 80,000 images" in figure_of(*runs).axes[2].get_title(loc="left")
