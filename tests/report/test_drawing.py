"""Every figure of the workflow is drawn from the files that its rule names."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from oac.report.drawing import FIGURES, draw
from oac.report.results import Names

COUNTS = (1, 10, 100)


def score(method, crops, seed):
    return 0.3 + 0.01 * (sum(map(ord, crops)) % 7) + 0.001 * seed


def write(folder, name, content):
    """A file of a run or a study: text, or a table as csv or parquet."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content)
    else:
        content.to_parquet(path) if path.suffix == ".parquet" else content.to_csv(path, index=False)
    return str(path)


def of_runs(folder, name, metrics, content):
    """A file for each run, in the order of the metrics."""
    places = [f"{run['method']}/{run['crops']}/seed{run['seed']}" for run in metrics]
    return [write(folder, f"{place}/{name}", content(run)) for place, run in zip(places, metrics, strict=True)]


def ap(run):
    """Classes whose labels and names look like numbers and missing values."""
    classes = {"label": ["01", "None", "NA", "1", "1.0"], "name": ["None", "null", "1e3", "1", "01"]}
    ap = [run["map"], run["map"] / 2, np.nan, run["map"] / 3, run["map"] / 4]
    return pd.DataFrame({**classes, "ap": ap, "train_images": [5, 9, 20, 4, 3]})


def sizes(run):
    return pd.DataFrame({"low": [0, 0.5], "high": [0.5, 1], "ap": [run["map"], np.nan], "positives": [3, 0]})


def history(run):
    lines = [{"recipe": run["recipe"]}]
    lines += [{"images_seen": seen, "loss": 5.0, "chance": 6.0, "feature_std": 0.4} for seen in (10, 20)]
    return "\n".join(map(json.dumps, lines))


@pytest.fixture(scope="module")
def files(tmp_path_factory, metrics_of):
    """A function that writes the files that figures of a study are drawn from."""

    def files_of(study, tables=ap):
        folder = tmp_path_factory.mktemp(study)
        metrics = metrics_of(study, score)
        trained = [run for run in metrics if run["method"] != "random_init"]
        shares = dict.fromkeys(("iou", "smaller_inside", "disjoint", "same_object", "no_object"), 0.5)
        shares |= {"first_area": 0.4, "second_area": 0.4, "magnification": 1.5, "pairs": 8, "seed": 0}
        variants = dict.fromkeys(run["crops"] for run in metrics if run["method"] == "moco_v2")
        recall = {"iou": 0.5, "splits": {"test": {"bing": {"image": {str(count): 0.5 for count in COUNTS}}}}}
        rates = {f"{key}_{average}": 0.5 for key in ("detection_rate_0.5", "detection_rate_0.7", "average_recall",
                 "best_overlap") for average in ("image", "object")}  # fmt: skip
        images = pd.DataFrame({"image_id": ["a", "b"], "split": ["train", "test"]})
        return SimpleNamespace(
            metrics=of_runs(folder, "metrics.json", metrics, json.dumps),
            tables=of_runs(folder, "ap.csv", metrics, tables),
            histories=of_runs(folder, "history.jsonl", trained, history),
            overlap=write(folder, "overlap.csv", pd.DataFrame([{"crops": name, **shares} for name in variants])),
            classes=write(folder, "classes.csv", ap(metrics[0]).assign(train_boxes=1)),
            images=write(folder, "images.parquet", images),
            boxes=write(folder, "boxes.parquet", pd.DataFrame({"image_id": ["a", "a", "b"]})),
            recall=write(folder, "recall.json", json.dumps(recall)),
            comparison=write(
                folder, "comparison.csv", pd.DataFrame([{"source": "csv", "count": n, **rates} for n in COUNTS])
            ),
        )

    return files_of


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_from_its_files(name, files, check_texts):
    given = files("audit" if name == "audit" else "demo", sizes if name == "ap_by_size" else ap)
    figure = draw(name, given)
    assert figure.axes
    check_texts(figure)


def test_an_ablation_is_drawn_by_its_option(files):
    assert draw("ablation_delta", files("ablations")).axes[0].get_xlabel().startswith("Dilation")


def test_classes_keep_their_names_whatever_these_look_like(files):
    labels = draw("images_per_class", files("demo")).axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["1e3", "null", "None", "1", "01"]
    labels = draw("ap_per_class", files("demo")).axes[0].get_yticklabels()
    assert {label.get_text() for label in labels} == {"None", "null", "1", "01"}


@pytest.mark.parametrize("name", ["ap_per_class", "training_curves"])
def test_the_variants_asked_for_are_shown(name, files):
    figure = draw(name, files("demo"), ["object-shift"])
    drawn = {text.get_text().split(" (")[0] for text in figure.findobj(Text)}
    assert {"scene-scene", "object-shift"} <= drawn
    assert not {"object-dilate", "object-scene"} & drawn


def test_the_first_panel_has_one_title_which_begins_with_the_studys(files):
    axes = draw("training_curves", files("demo"), names=Names(title="My study")).axes[0]
    assert axes.get_title(loc="left").startswith("My study, ")
    assert axes.get_title(loc="center") == axes.get_title(loc="right") == ""
    assert [text.get_size() for text in axes.findobj(Text) if "My study" in text.get_text()] == [10]


def test_an_unknown_figure_is_refused_and_those_that_there_are_named():
    with pytest.raises(ValueError, match=r"recal'.*recall"):
        draw("recal", SimpleNamespace())
