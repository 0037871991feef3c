from __future__ import annotations

import matplotlib
import pytest


def undrawn_labels(figure):
    """Labels of ticks that lie outside the axes; matplotlib keeps them and does not draw them."""
    found = []
    for axis in [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        found += [tick.label1 for tick in ticks if not low <= tick.get_loc() <= high]
    return found


@pytest.fixture
def check_texts():
    """A function that fails where a text of a figure is small, cut off or, naming an arm, on top of another."""

    def check(figure):
        figure.canvas.draw()
        texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text() and text.get_visible()]
        undrawn = undrawn_labels(figure)
        extents = [(text.get_text(), text.get_window_extent()) for text in texts if text not in undrawn]
        page = figure.bbox
        for text, box in extents:
            assert page.x0 - 1 <= box.x0 <= box.x1 <= page.x1 + 1, text
            assert page.y0 - 1 <= box.y0 <= box.y1 <= page.y1 + 1, text
        assert min(text.get_fontsize() for text in texts) >= 8
        names = [
            (text, box.padded(-2)) for text, box in extents if any(part in text for part in ("boxes", "Sup", "init"))
        ]
        assert not [(a, b) for i, (a, one) in enumerate(names) for b, two in names[i + 1 :] if one.overlaps(two)]

    return check
