from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from oac import studies, study_files
from oac.pretrain import recipe as recipes


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
    """A function that fails where a text of a figure is small, cut off or, naming a variant, on top of another."""

    def check(figure):
        figure.draw_without_rendering()
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


ROOT = Path(__file__).resolve().parents[2]


def run_metrics(method, crops, seed, value, policy="none", boxes="none", **changes):
    """metrics.json of a run as the probe writes it; value: its mAP in [0, 1]."""
    recipe = {"method": method, "crops": {"policy": policy, "boxes": boxes}, "options": {}}
    return {
        "study": "demo",
        "method": method,
        "crops": crops,
        "seed": seed,
        "policy": policy,
        "boxes": boxes,
        "map": value,
        "map_batch": {"32": value + 0.2, "64": value + 0.1, "256": value + 0.05},
        "knn": {"k": 20, "map": value - 0.03},
        "classes": 12,
        "train_images": 600,
        "test_images": 300,
        "images_seen": 0 if method == "random_init" else 9000,
        "recipe": {} if method == "random_init" else recipe,
        "recipe_hash": f"{method}-{crops}-{seed}",
        "versions": {"torch": "2.14.1", "oac": "0.1.0"},
    } | changes


def _metrics_of(name: str, score: Callable[[str, str, int], float], best: bool = True) -> list[dict[str, Any]]:
    """metrics.json of every run of a study, its mAP being score(method, crops, seed); batches give 0.2 more."""
    known, _ = study_files.load((ROOT / "config/studies").glob("*.yaml"))
    study = known[name]
    found = []
    for method, crops, seed in studies.runs(study):
        recipe = recipes.build(study, method, crops, seed)
        value = score(method, crops, seed)
        line = recipe.get("crops", {})
        changes = {
            "study": name,
            "map_batch": {"32": value + 0.3, "64": value + 0.25, "256": value + 0.2},
            "test_images": 1500,
            "train_images": 2704,
            "images_seen": recipe.get("images_seen", 0),
            "recipe": recipe,
            "recipe_hash": recipes.digest(recipe),
            "versions": {"oac": "0.1.0"},
        }
        entry = run_metrics(method, crops, seed, value, line.get("policy"), line.get("boxes"), **changes)
        if best:
            last, picked = (
                {"map": value - 0.01, "map_batch_256": value},
                {"map": value, "map_batch_256": value + 0.05},
            )
            entry["best_epoch"] = {"last": last, "best": picked, "epoch": 3}
        found.append(entry)
    return found


@pytest.fixture(scope="session")
def metrics_of():
    """A function that writes the metrics of a study's runs from numbers that the test chooses."""
    return _metrics_of
