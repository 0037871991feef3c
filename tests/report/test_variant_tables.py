from __future__ import annotations

import io
import re
from dataclasses import replace
from xml.etree import ElementTree

import pandas as pd
import pytest
from scipy import stats

from oac.report.formats import markdown, write
from oac.report.loading import load
from oac.report.pairs import verdicts
from oac.report.results import Names
from oac.report.variant_tables import crops_table, methods_table

from .conftest import run_metrics


def variant(method, crops, values, policy="none", boxes="none"):
    return [run_metrics(method, crops, seed, value, policy, boxes) for seed, value in enumerate(values)]


SCENE, DILATE, GROUND_TRUTH, REFERENCE = [0.18, 0.19, 0.2], [0.25, 0.26, 0.28], [0.18, 0.2, 0.3], [0.5, 0.52, 0.51]


@pytest.fixture
def runs() -> list[dict]:
    return [
        *variant("random_init", "none", [0.2, 0.21]),
        *variant("moco_v2", "scene-scene", SCENE, "scene-scene", "bing"),
        *variant("moco_v2", "object_shift", [0.23], "object-shift", "bing"),
        *variant("moco_v2", "dilate-bing", DILATE, "object-dilate", "bing"),
        *variant("moco_v2", "dilate-gt", GROUND_TRUTH, "object-dilate", "ground_truth"),
        *variant("supervised", "scene", REFERENCE, "scene-scene"),
        *variant("byol", "scene-scene", [0.15, 0.16, 0.17], "scene-scene"),
    ]


def test_variants_are_every_crop_of_moco_and_the_references(runs):
    frame = crops_table(load(runs)).frame
    expected = ["scene-scene", "object_shift", "dilate-bing", "dilate-gt", "none", "scene"]
    assert frame.crops.tolist() == expected
    assert frame.n.tolist() == [3, 1, 3, 3, 2, 3]
    assert frame.images_seen.tolist() == [9000] * 4 + [0, 9000]
    methods = methods_table(load(runs)).frame
    assert list(zip(methods.method, methods.crops, strict=True)) == [
        ("supervised", "scene"),
        ("byol", "scene-scene"),
        ("moco_v2", "scene-scene"),
        ("moco_v2", "dilate-bing"),
        ("moco_v2", "dilate-gt"),
        ("random_init", "none"),
    ]


def test_numbers_of_a_variant(runs):
    frame = crops_table(load(runs)).frame.set_index("crops")
    line = frame.loc["dilate-bing"]
    assert line.map_percent == pytest.approx(100 * sum(DILATE) / 3)
    low, high = stats.ttest_1samp([100 * value for value in DILATE], 0).confidence_interval()
    assert line.map_half_width_percent == pytest.approx((high - low) / 2)
    paired = stats.ttest_rel(DILATE, REFERENCE)
    low, high = paired.confidence_interval()
    assert line.difference_to_supervised_points == pytest.approx(50 * (low + high))
    assert line.difference_to_supervised_half_width_points == pytest.approx(50 * (high - low))
    assert frame.difference_to_supervised_p.isna().all(), "described, not tested"
    assert line.map_batch_256_percent == pytest.approx(line.map_percent + 5)
    assert line.recipe_hashes.split() == [f"moco_v2-dilate-bing-{seed}" for seed in range(3)]
    assert pd.isna(frame.loc["scene", "difference_to_supervised_points"])
    assert frame.loc["scene-scene", "boxes"] is None or pd.isna(frame.loc["scene-scene", "boxes"])


def test_fewer_than_three_seeds_show_no_interval(runs):
    table = crops_table(load(runs))
    rows = {row[1]: row for row in table.cells()}
    assert rows["object_shift"][4:6] == ["23.0", "−27.0"], "less the same seed of supervised"
    assert pd.isna(table.frame.set_index("crops").loc["object_shift", "map_half_width_percent"])
    assert rows["scene-scene"][4].startswith("19.0 ± ")


def test_without_supervised_runs_there_is_no_difference(runs):
    table = crops_table(load([run for run in runs if run["method"] != "supervised"]))
    assert table.frame.difference_to_supervised_points.isna().all()
    assert "Difference to supervised" not in markdown(table)
    assert "Difference to supervised" in markdown(crops_table(load(runs)))


def numbers(cell: str) -> list[float]:
    """The numbers of a formatted cell of either format; none of the dash."""
    plain = cell.replace("$-$", "-").replace("−", "-").replace(r"$\pm$", "±")
    return [float(found) for found in re.findall(r"-?\d+\.\d+", plain)]


def holds(text, *words):
    """Whether a sentence has all of these words and numbers."""
    return all(word in text for word in words)


def on_papers_data(runs, **changes):
    """The same runs as if they were of OHMS, or of other data, and of a ResNet-50."""
    data = {"data": {"source": "openimages"}, "backbone": {"name": "resnet50"}}
    trained = [run["recipe"] and run["recipe"] | data | changes for run in runs]
    return [run | {"train_images": 212_000, "recipe": recipe} for run, recipe in zip(runs, trained, strict=True)]


def test_the_papers_values_stand_beside_runs_on_the_papers_data_alone(runs):
    table = crops_table(load(on_papers_data(runs)))
    assert "OHMS" in table.columns[-1].header
    found = table.frame.set_index("crops").paper_map_percent
    assert (found["scene-scene"], found["dilate-bing"]) == (49.8, 58.6)
    assert pd.isna(found["dilate-gt"])
    assert any("58.6" in note for note in table.notes)
    for others in (runs, on_papers_data(runs, data={"source": "coco"}), variant("random_init", "none", [0.2])):
        table = crops_table(load(others))
        assert not any("aper" in text for text in [*table.frame, *(column.header for column in table.columns)])
        assert not any("58.6" in note for note in table.notes)


def test_the_files_agree(runs, tmp_path):
    runs = on_papers_data(runs)
    paths = write(crops_table(load(runs)), tmp_path / "report" / "crops")
    assert [path.name for path in paths] == ["crops.csv", "crops.md", "crops.tex", "crops.html"]
    csv_text, md, tex, page = (path.read_text(encoding="utf-8") for path in paths)
    frame = pd.read_csv(io.StringIO(csv_text), keep_default_na=False, na_values=[""])
    body = [line for line in md.splitlines() if line.startswith("|")][2:]
    md_rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in body]
    tex_body = tex.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    tex_rows = [[cell.strip() for cell in line.removesuffix(r"\\").split(" & ")] for line in tex_body]
    assert len(frame) == len(md_rows) == len(tex_rows) == 6
    for (_, line), md_row, tex_row in zip(frame.iterrows(), md_rows, tex_rows, strict=True):
        for row in (md_row, tex_row):
            assert int(row[3]) == line.n
            columns = {
                4: ["map_percent", "map_half_width_percent"],
                5: [f"difference_to_supervised_{name}" for name in ("points", "half_width_points")],
                6: ["knn_percent"],
                7: ["map_batch_256_percent"],
                8: ["paper_map_percent"],
            }
            for position, names in columns.items():
                known = line[names].dropna().tolist()
                assert numbers(row[position]) == pytest.approx(known, abs=0.051)
                assert (row[position] in ("–", "--")) == (not known)
    body = ElementTree.fromstring(page[page.index("<tbody>") : page.index("</table>")])
    assert [[cell.text for cell in row] for row in body] == md_rows
    full = crops_table(load(runs)).frame
    assert frame.map_percent.tolist() == full.map_percent.tolist()  # not one digit is lost in the csv


def test_provenance_stands_under_the_markdown_and_in_the_tex(runs, tmp_path):
    _, md, tex, page = (
        path.read_text(encoding="utf-8") for path in write(crops_table(load(runs)), tmp_path / "crops")
    )
    below = md[md.rindex("|") :]
    for content in (below, tex, page):
        assert "moco_v2-dilate-gt-2" in content
        assert "oac 0.1.0; torch 2.14.1" in content
    assert "300 test images and 12 classes" in md


def test_provenance_names_variants_as_people_do(runs):
    notes = crops_table(load(runs, Names(labels={"dilate-gt": "Dilated"}))).notes
    (seen,) = [note for note in notes if "9,000" in note]
    for note in (seen, notes[-2]):
        assert " MoCo-v2, Dilated (ground-truth boxes): " in note
        assert "; Random initialisation: " in note
        assert "moco_v2/" not in note
    assert "moco_v2-dilate-gt-0, moco_v2-dilate-gt-1" in notes[-2], "hashes stay as they are"


def test_different_versions_are_all_named(runs):
    other = run_metrics("moco_v2", "later", 0, 0.3, "scene-scene", versions={"torch": "2.15.0"})
    notes = crops_table(load([*runs, other])).notes
    assert "torch 2.14.1 and 2.15.0" in notes[-1]


def test_tex_is_escaped(runs, tmp_path):
    tex = write(crops_table(load(runs)), tmp_path / "crops")[2].read_text(encoding="utf-8")
    visible = "\n".join(line for line in tex.splitlines() if not line.startswith("%"))
    assert r"object\_shift" in visible
    assert r"mAP (\%)" in visible
    assert not re.search(r"(?<!\\)[%_#]", visible)
    assert not any(character in visible for character in "–−±")


def single(runs):
    """The same runs of photos of one label each, whose top-1 accuracy is twice the mAP."""
    return [run | {"top1": 2 * min(run["map"], 0.5), "top5": 0.9, "knn": {"top1": run["map"] - 0.02}} for run in runs]


def test_a_study_of_single_labels_shows_accuracies(runs, tmp_path):
    imagenet = {"source": "imagenet", "subset": {}}
    runs = [run | {"classes": 1000} for run in on_papers_data(runs, data=imagenet)]
    table = crops_table(load(single(runs)))
    assert holds(table.caption, "demo", "top-1", "300", "1000")
    headers = [column.header for column in table.columns]
    for header, word in zip(headers[4:], ("Top-1", "supervised", "k-NN", "Top-5", "mAP", "ImageNet"), strict=True):
        assert word in header
    rows = {row[1]: row for row in table.cells()}
    assert rows["scene-scene"][4] == "38.0 ± 5.0"
    assert rows["scene-scene"][6:] == ["17.0", "90.0", "19.0", "67.5"]
    assert rows["object_shift"][9] == "–", "the paper has no ImageNet value of object-shift"
    line = table.frame.set_index("crops").loc["dilate-bing"]
    assert line.top1_percent == pytest.approx(200 * sum(DILATE) / 3)
    low, high = stats.ttest_1samp([200 * value for value in DILATE], 0).confidence_interval()
    assert line.top1_half_width_percent == pytest.approx((high - low) / 2)
    assert not any("batch" in name for name in table.frame)
    assert any("68.0" in note and "table 1" in note for note in table.notes)
    assert not any("body text" in note for note in table.notes)
    contrasts = contrast("dilate-bing", "scene-scene")
    assert holds(
        verdicts(replace(load(single(runs)), contrasts=contrasts))[0],
        "above",
        "52.7 ± 7.6",
        "38.0 ± 5.0",
        "top-1",
        "+14.7",
    )


def test_runs_with_and_without_accuracies_are_not_one_study():
    one = run_metrics("moco_v2", "a", 0, 0.3, "scene-scene", top1=0.4, top5=0.8)
    assert load([one]).variants[0].values("top1") == {0: 40.0}
    with pytest.raises(ValueError, match="metrics of run demo/moco_v2/b/0 lack the key 'top1'"):
        load([one, run_metrics("moco_v2", "b", 0, 0.3)])


def contrast(*names):
    """Contrasts of MoCo-v2's crops, of an even number of names; random_init is the network that is not trained."""
    variants = [(name, "none") if name == "random_init" else ("moco_v2", name) for name in names]
    return list(zip(variants[::2], variants[1::2], strict=True))


def test_verdicts_say_what_the_numbers_say(runs):
    declared = contrast("dilate-bing", "scene-scene", "dilate-bing", "random_init", "dilate-gt", "scene-scene")
    said = verdicts(replace(load(runs), contrasts=declared))
    assert len(said) == 3
    # Two of the three are tested: random initialisation has two seeds. This p is the smaller.
    p = 2 * stats.ttest_rel(DILATE, SCENE).pvalue
    numbers = "26.3 ± 3.8", "n = 3", "19.0 ± 2.5", "+7.3 ± 1.4", f"p = {p:.3f}"
    assert holds(said[0], "Primary", "dilate-bing (BING boxes)", "above", "scene-scene", *numbers)
    assert holds(said[1], "No verdict", "random initialisation", "25.5", "20.5", "n = 2", "+5.0")
    assert holds(said[2], "no significant difference", "dilate-gt (ground-truth boxes)", "scene-scene")
    assert not any("Primary" in sentence for sentence in said[1:])
    back = replace(load(runs), contrasts=contrast("scene-scene", "dilate-bing"))
    assert holds(verdicts(back)[0], "scene-scene", "below", "dilate-bing", "−7.3 ± 1.4")


def test_an_interval_without_zero_is_no_significant_difference_where_the_adjusted_p_is_large():
    """Three contrasts of p = 0.03: each interval excludes 0, and none is significant after Holm."""
    values = [0.3 + change for change in (0.020, 0.029, 0.042)]
    runs = [entry for name in "abc" for entry in variant("moco_v2", name, values, "object-dilate", "bing")]
    runs += variant("moco_v2", "scene", [0.3] * 3, "scene-scene")
    results = load(runs)
    (alone,) = verdicts(replace(results, contrasts=contrast("a", "scene")))
    assert "above" in alone
    for found in verdicts(replace(results, contrasts=contrast("a", "scene", "b", "scene", "c", "scene"))):
        assert "no significant difference" in found


def test_without_contrasts_nothing_is_tested_and_there_is_no_verdict(runs):
    assert verdicts(load(runs)) == []


def test_contrasts_of_other_methods_name_them():
    runs = [
        *variant("byol", "scene", [0.3, 0.31, 0.32], "scene-scene"),
        *variant("byol", "dilate", [0.5, 0.515, 0.52], "object-dilate", "bing"),
    ]
    (said,) = verdicts(replace(load(runs), contrasts=[(("byol", "dilate"), ("byol", "scene"))]))
    assert holds(said, "BYOL, dilate (BING boxes)", "above", "BYOL, scene")


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, 58.6),
        ({"delta": 0.1, "items": "image", "scale_lower": None}, 58.6),
        ({"delta": 0.2}, None),
        ({"items": "box"}, None),
        ({"scale_lower": 0.2}, None),
        ({"images_seen": 18000}, None),
    ],
)
def test_the_papers_value_stands_beside_the_papers_variant_alone(changes, shown):
    runs = [
        *variant("moco_v2", "scene-scene", SCENE, "scene-scene"),
        *variant("moco_v2", "dilate", DILATE, "object-dilate", "bing"),
    ]
    for entry in runs[3:]:
        if "images_seen" in changes:
            entry |= changes
        else:
            entry["recipe"]["crops"] |= changes
    table = crops_table(load(on_papers_data(runs)))
    values = table.frame.set_index("crops").paper_map_percent
    assert values["scene-scene"] == 49.8
    assert (None if pd.isna(values["dilate"]) else values["dilate"]) == shown
    assert any("58.6" in note for note in table.notes) == (shown is not None)


def test_wrong_input_is_refused(runs):
    lacking = run_metrics("moco_v2", "a", 0, 0.1)
    del lacking["map"]
    with pytest.raises(ValueError, match=r"demo/moco_v2/a/0 lack the key 'map'"):
        load([lacking])
    with pytest.raises(ValueError, match="demo/moco_v2/a/1 is given twice"):
        load([run_metrics("moco_v2", "a", 1, 0.1), run_metrics("moco_v2", "a", 1, 0.2)])
    with pytest.raises(ValueError, match="no runs"):
        load([])
    with pytest.raises(ValueError, match="no run of moco_v2"):
        crops_table(load([run for run in runs if run["method"] == "byol"]))
    other = run_metrics("moco_v2", "b", 0, 0.1, "scene-scene", test_images=299)
    with pytest.raises(ValueError, match="different test_images cannot be compared: 300, 299"):
        load([*runs, other])
