"""Figures of what a subset holds."""

from __future__ import annotations

import pandas as pd
import pytest

from oac.report.data_figures import images_per_class, objects_per_image


@pytest.mark.parametrize("count", [3, 50])
def test_images_per_class_go_from_frequent_to_rare(count):
    classes = pd.DataFrame({"label": range(count), "name": [f"c{i}" for i in range(count)]})
    axes = images_per_class(classes.assign(train_images=classes.label + 1)).axes[0]
    heights = [bar.get_width() for bar in axes.patches] or axes.lines[0].get_ydata().tolist()
    assert heights == list(range(count, 0, -1))
    with pytest.raises(ValueError, match="no classes"):
        images_per_class(classes.assign(train_images=0).iloc[:0])


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
