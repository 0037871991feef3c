"""The paper's table 1 from its rule: two studies joined, one of single labels, and what is said without data."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image


@pytest.fixture
def classes(tmp_path):
    """A folder laid out like ImageNet: three classes that a colour hints at, 12 train and 8 test photos each."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 8)):
        for number, name in enumerate(("red", "green", "blue")):
            folder = tmp_path / "classes" / split / name
            folder.mkdir(parents=True)
            for photo in range(count):
                tint = rng.integers(0, 60, 3) + 25 * (np.arange(3) == number)  # some photos are misclassified
                pixels = rng.integers(0, 120, (48, 64, 3)) + tint
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{split}_{name}_{photo}.jpg")
    return tmp_path / "classes"


def single(repo, folder, where, **probe):
    """Write the study `single`, the tests' tiny one on a folder of classes, and return its file."""
    study = yaml.safe_load((repo / "tests/config/tiny.yaml").read_text())
    study |= {"name": "single", "proposals": {"bing": {"weights": "packaged"}}}
    study["data"] = {
        "source": "imagenet",
        "location": str(folder),
        "subset": {"min_classes_per_image": 1, "min_images_per_class": 1},
        "store": {"long_side": 64, "shards": {"train": 1, "test": 1}},
    }
    study["methods"]["supervised"] |= {"objective": "single_label", "augment": {"query": {"jitter": 0.0}}}
    study["probe"] |= {"task": "single_label"} | probe
    file = where / "single.yaml"
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    return file


def configured(where, files, **table1):
    """Write a configuration that joins the studies `table1` names."""
    content = {"studies": ["tiny"], "study_files": list(map(str, files)), "gpu": 0, "table1": table1}
    (where / "config.yaml").write_text(yaml.safe_dump(content | {"paper_studies": ["tiny"]}))
    return where / "config.yaml"


def test_two_studies_are_joined(copied, classes, tmp_path):
    files = ["tests/config/tiny.yaml", single(copied.repo, classes, tmp_path)]
    config = configured(tmp_path, files, ohms="tiny", imagenet="single")
    plan = copied.planned("results/paper/table1.md", config=config)
    assert plan.jobs["make_table1"] == 1
    assert plan.jobs["fit_probe"] == 3, "tiny has its runs, and random_init is no row of the table"
    result = copied.run("results/paper/table1.md", "--cores", "2", config=config)
    assert result.code == 0, result.text
    folder = copied.folder / "results/paper"
    assert {path.suffix for path in folder.iterdir()} == {".csv", ".md", ".tex", ".html"}
    table = pd.read_csv(folder / "table1.csv").set_index(["method", "policy"])
    assert table.ohms_n.tolist() == [1, 0, 0, 0, 1, 1]
    assert table.imagenet_n.tolist() == [1, 0, 0, 0, 1, 1]
    scores = [yaml.safe_load((copied.folder / path).read_text()) for path in (
        "results/tiny/probe/moco_v2/object-dilate/seed0/metrics.json",
        "results/single/probe/moco_v2/object-dilate/seed0/metrics.json",
    )]  # fmt: skip
    row = table.loc[("moco_v2", "object-dilate")]
    assert row.ohms_percent == pytest.approx(100 * scores[0]["map"])
    assert row.imagenet_percent == pytest.approx(100 * scores[1]["top1"])
    assert scores[1]["top1"] != scores[1]["map"], "the test would not tell which of them the column shows"
    assert scores[1]["top5"] == 1.0  # of three classes
    page = (folder / "table1.md").read_text()
    assert "not run" in page
    assert all(f"Ours on {title}, " in page for title in ("Tiny", "Single")), "what people call the studies"


def test_one_study_or_none_makes_the_table_too(finished, tmp_path):
    files = ["tests/config/tiny.yaml"]
    plan = finished.planned("results/paper/table1.md", config=configured(tmp_path, files, ohms="tiny", imagenet=None))
    assert plan.jobs == {"make_table1": 1}
    plan = finished.planned("paper", config=configured(tmp_path, files, ohms=None, imagenet=None))
    assert plan.jobs["make_table1"] == 1
    assert not plan.trained
    # Inside of braces Snakemake hands null on as text.
    files = configured(tmp_path, files, ohms=None, imagenet="tiny")
    plan = finished.planned(
        "results/paper/table1.md", "--config", "table1={ohms: tiny, imagenet: null}", config=files
    )
    assert plan.jobs == {"make_table1": 1}


def test_a_column_of_accuracies_takes_no_study_without(fresh, tmp_path):
    config = configured(tmp_path, ["tests/config/tiny.yaml"], ohms=None, imagenet="tiny")
    result = fresh.run("--dry-run", "paper", config=config)
    assert result.code != 0
    assert "table1.imagenet names tiny" in result.text
    assert "Traceback" not in result.text


def test_the_papers_target_names_the_data_that_are_absent_and_plans_the_rest(fresh, tmp_path):
    config = fresh.repo / "config/config.yaml"
    result = fresh.run("--dry-run", "paper", "--config", "gpu=0", config=config)
    assert result.code != 0
    assert "study imagenet: data.location resources/imagenet" in result.text
    assert "docs/data.md" in result.text
    for split in ("train", "val"):
        (tmp_path / "resources/imagenet" / split / "n01440764").mkdir(parents=True)
    plan = fresh.planned("paper", "--config", "gpu=0", config=config)
    assert plan.jobs["make_table1"] == 1
    assert plan.jobs["write_summary"] == plan.jobs["check_paper"] == 4
    assert {name.split(" ")[0] for name in plan.trained} == {"moco_v2", "byol", "swav", "cmc", "supervised"}
    assert len(re.findall(r"Pretraining imagenet: ", plan.text)) == 6
