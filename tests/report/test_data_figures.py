"""Figures of what a subset holds."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.text import Text

from oac.report.data_figures import images_per_class, objects_per_image
from oac.report.style import save


@pytest.mark.parametrize("count", [3, 50])
def test_images_per_class_go_from_frequent_to_rare(count):
    classes = pd.DataFrame({"label": range(count), "name": [f"c{i}" for i in range(count)]})
    axes = images_per_class(classes.assign(train_images=classes.label + 1)).axes[0]
    heights = [bar.get_width() for bar in axes.patches] or axes.lines[0].get_ydata().tolist()
    assert heights == list(range(count, 0, -1))
    with pytest.raises(ValueError, match="no classes"):
        images_per_class(classes.assign(train_images=0).iloc[:0])


@pytest.mark.parametrize("count", [3, 50])
def test_a_name_is_no_formula(count, tmp_path):
    names = [r"$\frac$", "$100$ bill", *(f"c{i}" for i in range(count))][:count]
    classes = pd.DataFrame({"label": names, "name": names, "train_images": range(count, 0, -1)})
    figure = images_per_class(classes)
    save(figure, tmp_path / "figure")
    axes = figure.axes[0]
    written = " ".join(text.get_text() for text in [*axes.get_yticklabels(), *axes.texts])
    assert r"$\frac$" in written
    assert not any(text.get_parse_math() for text in figure.findobj(Text))


def test_objects_per_image_counts_photos_without_boxes_only_where_asked_for():
    boxes = pd.DataFrame({"image_id": ["a"] * 3 + ["b"]})
    bars = {
        round(b.get_x() + b.get_width() / 2): b.get_height()
        for b in objects_per_image(boxes, ["a", "b"]).axes[0].patches
    }
    assert bars == {1: 50.0, 2: 0.0, 3: 50.0}
    axes = objects_per_image(boxes, ["a", "c"]).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [50.0, 0.0, 0.0, 50.0]
    assert axes.lines[0].get_xdata()[0] == 1.5
