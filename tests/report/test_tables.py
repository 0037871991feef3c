from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import pandas as pd
import pytest
from scipy import stats

from oac.report.tables import collect, crops_table, methods_table, write
from oac.report.verdicts import verdicts


def metrics(method, crops, seed, value, policy="none", boxes="none", **changes):
    """A metrics.json as the probe writes it."""
    return {
        "study": "demo",
        "method": method,
        "crops": crops,
        "seed": seed,
        "policy": policy,
        "boxes": boxes,
        "map": value,
        "map_batch": {"32": value + 0.2, "64": value + 0.1, "256": value + 0.05},
        "classes": 12,
        "train_images": 600,
        "test_images": 300,
        "images_seen": 0 if method == "random" else 9000,
        "recipe": {},
        "recipe_hash": f"{method}-{crops}-{seed}",
        "probe": {},
        "versions": {"torch": "2.14.1", "oac": "0.1.0"},
    } | changes


def arm(method, crops, values, policy="none", boxes="none"):
    return [metrics(method, crops, seed, value, policy, boxes) for seed, value in enumerate(values)]


SCENE, DILATE, TRUE, REFERENCE = [0.18, 0.19, 0.2], [0.25, 0.26, 0.28], [0.18, 0.2, 0.3], [0.5, 0.52, 0.51]


@pytest.fixture
def runs() -> pd.DataFrame:
    return collect(
        [
            *arm("random", "none", [0.2, 0.21]),
            *arm("moco_v2", "scene-scene", SCENE, "scene-scene", "bing"),
            *arm("moco_v2", "object_shift", [0.23], "object-shift", "bing"),
            *arm("moco_v2", "dilate-bing", DILATE, "object-dilate", "bing"),
            *arm("moco_v2", "dilate-true", TRUE, "object-dilate", "ground_truth"),
            *arm("supervised", "scene", REFERENCE, "scene-scene"),
            *arm("byol", "scene-scene", [0.15, 0.16, 0.17], "scene-scene"),
        ]
    )


def test_lines_are_every_crop_of_moco_and_the_references(runs):
    frame = crops_table(runs).frame
    expected = ["scene-scene", "object_shift", "dilate-bing", "dilate-true", "none", "scene"]
    assert frame.crops.tolist() == expected
    assert frame.n.tolist() == [3, 1, 3, 3, 2, 3]
    assert frame.images_seen.tolist() == [9000] * 4 + [0, 9000]
    methods = methods_table(runs).frame
    assert list(zip(methods.method, methods.crops, strict=True)) == [
        ("supervised", "scene"),
        ("byol", "scene-scene"),
        ("moco_v2", "scene-scene"),
        ("moco_v2", "dilate-bing"),
        ("moco_v2", "dilate-true"),
        ("random", "none"),
    ]


def test_numbers_of_a_line(runs):
    frame = crops_table(runs).frame.set_index("crops")
    line = frame.loc["dilate-bing"]
    assert line.map_percent == pytest.approx(100 * sum(DILATE) / 3)
    low, high = stats.ttest_1samp([100 * value for value in DILATE], 0).confidence_interval()
    assert line.map_half_width_percent == pytest.approx((high - low) / 2)
    welch = stats.ttest_ind(DILATE, REFERENCE, equal_var=False).confidence_interval()
    middle, half = 50 * (welch.low + welch.high), 50 * (welch.high - welch.low)
    assert line.difference_to_supervised_points == pytest.approx(middle)
    assert line.difference_half_width_points == pytest.approx(half)
    assert line.map_batch_256_percent == pytest.approx(line.map_percent + 5)
    assert line.paper_map_percent == 58.6
    assert line.recipe_hashes.split() == [f"moco_v2-dilate-bing-{seed}" for seed in range(3)]
    assert frame.loc["dilate-true", "paper_map_percent"] != frame.loc["dilate-true", "paper_map_percent"]
    assert pd.isna(frame.loc["scene", "difference_to_supervised_points"])
    assert frame.loc["scene-scene", "boxes"] is None or pd.isna(frame.loc["scene-scene", "boxes"])


def test_fewer_than_three_seeds_show_no_interval(runs):
    table = crops_table(runs)
    rows = {row[1]: row for row in table.cells()}
    assert rows["object_shift"][5:8] == ["23.0", "–", "−28.0"]
    assert pd.isna(table.frame.set_index("crops").loc["object_shift", "map_half_width_percent"])
    assert rows["scene-scene"][6].startswith("± ")


def test_without_supervised_runs_there_is_no_difference(runs):
    frame = crops_table(runs[runs.method != "supervised"]).frame
    assert frame.difference_to_supervised_points.isna().all()


def number(cell: str) -> float | None:
    """A formatted number of either format back as a number; None for the dash."""
    plain = cell.replace("$-$", "-").replace("−", "-").replace(r"$\pm$", "±").strip("± ")
    return None if plain in ("–", "--") else float(plain)


def test_the_files_agree(runs, tmp_path):
    paths = write(crops_table(runs), tmp_path / "report" / "crops")
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
            assert int(row[4]) == line.n
            columns = {
                5: "map_percent",
                6: "map_half_width_percent",
                8: "map_batch_256_percent",
                9: "paper_map_percent",
            }
            for position, name in columns.items():
                if pd.isna(line[name]):
                    assert number(row[position]) is None
                else:
                    assert number(row[position]) == pytest.approx(line[name], abs=0.051)
    body = ElementTree.fromstring(page[page.index("<tbody>") : page.index("</table>")])
    assert [[cell.text for cell in row] for row in body] == md_rows
    full = crops_table(runs).frame
    assert frame.map_percent.tolist() == full.map_percent.tolist()  # not one digit is lost in the csv


def test_provenance_stands_under_the_markdown_and_in_the_tex(runs, tmp_path):
    _, md, tex, page = (path.read_text(encoding="utf-8") for path in write(crops_table(runs), tmp_path / "crops"))
    below = md[md.rindex("|") :]
    for content in (below, tex, page):
        assert "moco_v2-dilate-true-2" in content
        assert "oac 0.1.0; torch 2.14.1" in content
    assert "300 test images and 12 classes" in md


def test_different_versions_are_all_named(runs):
    other = collect([metrics("moco_v2", "later", 0, 0.3, versions={"torch": "2.15.0"})])
    notes = crops_table(pd.concat([runs, other], ignore_index=True)).notes
    assert "torch 2.14.1 and 2.15.0" in notes[-1]


def test_tex_is_escaped(runs, tmp_path):
    tex = write(crops_table(runs), tmp_path / "crops")[2].read_text(encoding="utf-8")
    visible = "\n".join(line for line in tex.splitlines() if not line.startswith("%"))
    assert r"object\_shift" in visible
    assert r"mAP (\%)" in visible
    assert not re.search(r"(?<!\\)[%_#]", visible)
    assert not any(character in visible for character in "–−±")


def single(runs):
    """The same runs of photos of one label each, whose top-1 accuracy is twice the mAP."""
    return runs.assign(top1=2 * runs["map"].clip(upper=0.5), top5=0.9)


def test_a_study_of_single_labels_shows_accuracies(runs, tmp_path):
    table = crops_table(single(runs))
    assert table.caption.startswith("Crop policies on demo: top-1 accuracy of a linear probe over 300 test images")
    headers = [column.header for column in table.columns]
    assert headers[5:] == [
        "Top-1 (%)",
        "95 % interval (points)",
        "Difference to supervised (points)",
        "Top-5 (%)",
        "mAP (%)",
        "Paper, ImageNet (%)",
    ]
    rows = {row[1]: row for row in table.cells()}
    assert rows["scene-scene"][5] == "38.0"
    assert rows["scene-scene"][8:] == ["90.0", "19.0", "67.5"]
    assert rows["object_shift"][10] == "–", "the paper has no ImageNet value of object-shift"
    line = table.frame.set_index("crops").loc["dilate-bing"]
    assert line.top1_percent == pytest.approx(200 * sum(DILATE) / 3)
    low, high = stats.ttest_1samp([200 * value for value in DILATE], 0).confidence_interval()
    assert line.top1_half_width_percent == pytest.approx((high - low) / 2)
    assert not any("batch" in name for name in table.frame)
    assert "Paper's 68.0: table 1, as in the authors' README." in table.notes
    assert not any("body text" in note for note in table.notes)
    assert verdicts(single(runs))[0].startswith("dilate-bing (BING boxes) is above scene-scene")
    assert "52.7 ± 7.6 (n = 3) against 38.0 ± 5.0 (n = 3) top-1, difference" in verdicts(single(runs))[0]


def test_runs_with_and_without_accuracies_are_not_one_study():
    one = metrics("moco_v2", "a", 0, 0.3, top1=0.4, top5=0.8)
    assert collect([one]).top1.tolist() == [0.4]
    with pytest.raises(ValueError, match="metrics of run demo/moco_v2/b/0 lack the key 'top1'"):
        collect([one, metrics("moco_v2", "b", 0, 0.3)])


def test_verdicts_say_what_the_numbers_say(runs):
    said = verdicts(runs)
    assert len(said) == 6  # the supervised and BYOL lines have no object crops: each against no training
    assert said[0] == (
        "dilate-bing (BING boxes) is above scene-scene with non-overlapping 95 % intervals: "
        "26.3 ± 3.8 (n = 3) against 19.0 ± 2.5 (n = 3) mAP, difference +7.3 ± 3.1."
    )
    assert said[1].startswith("No verdict on dilate-bing (BING boxes) against random initialisation")
    assert "26.3 ± 3.8 (n = 3) against 20.5 (n = 2)" in said[1]
    assert said[2].startswith("dilate-true (true boxes) is not separated from scene-scene")
    better = collect(
        [
            *arm("moco_v2", "scene", [0.5, 0.51, 0.52], "scene-scene"),
            *arm("moco_v2", "dilate", DILATE, "object-dilate", "bing"),
        ]
    )
    assert "dilate (BING boxes) is below scene with non-overlapping" in verdicts(better)[0]


def test_verdicts_of_every_method_compare_it_with_its_own_scene_crops_and_with_no_training():
    said = verdicts(
        collect(
            [
                *arm("byol", "scene", [0.3, 0.31, 0.32], "scene-scene"),
                *arm("byol", "dilate", [0.5, 0.51, 0.52], "object-dilate", "bing"),
                *arm("moco_v2", "scene", [0.4, 0.41, 0.42], "scene-scene"),
                *arm("moco_v2", "dilate", [0.2, 0.21, 0.22], "object-dilate", "bing"),
                *arm("cmc", "scene", [0.3, 0.31, 0.32], "scene-scene"),
                *arm("supervised", "scene", [0.9], "scene-scene"),
                *arm("random", "none", [0.1, 0.11, 0.12], "none"),
            ]
        )
    )
    assert [re.split(r" with non-overlapping| and|:", sentence)[0] for sentence in said] == [
        "dilate (BING boxes) is below scene",
        "dilate (BING boxes) is above random initialisation",
        "CMC, scene is above random initialisation",
        "BYOL, dilate (BING boxes) is above BYOL, scene",
        "BYOL, dilate (BING boxes) is above random initialisation",
    ]


def test_only_lines_that_saw_as_many_images_are_compared():
    short = [
        *arm("moco_v2", "scene", SCENE, "scene-scene"),
        *arm("moco_v2", "dilate", DILATE, "object-dilate", "bing"),
    ]
    long = [
        entry | {"crops": f"{entry['crops']}-long", "images_seen": 18000, "map": entry["map"] + 0.1}
        for entry in short
    ]
    found = verdicts(collect([*short, *long, *arm("random", "none", [0.1, 0.11, 0.12])]))
    pairs = [re.match(r"(\S+) .* (?:above|separated from) (\S+) ", sentence).groups() for sentence in found]
    assert pairs == [
        ("dilate", "scene"),
        ("dilate", "random"),
        ("dilate-long", "scene-long"),
        ("dilate-long", "random"),
    ]


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, 58.6),
        ({"recipe": {"crops": {"delta": 0.1, "items": "image", "scene_scale": [0.2, 1.0]}}}, 58.6),
        ({"recipe": {"crops": {"delta": 0.2}}}, None),
        ({"recipe": {"crops": {"items": "box"}}}, None),
        ({"recipe": {"crops": {"scale_lower": 0.2}}}, None),
        ({"images_seen": 18000}, None),
    ],
)
def test_the_papers_value_stands_beside_the_papers_line_alone(changes, shown):
    lines = [
        *arm("moco_v2", "scene-scene", SCENE, "scene-scene"),
        *(entry | changes for entry in arm("moco_v2", "dilate", DILATE, "object-dilate", "bing")),
    ]
    table = crops_table(collect(lines))
    values = table.frame.set_index("crops").paper_map_percent
    assert values["scene-scene"] == 49.8
    assert (None if pd.isna(values["dilate"]) else values["dilate"]) == shown
    assert any("58.6" in note for note in table.notes) == (shown is not None)


def test_wrong_input_is_refused(runs):
    lacking = metrics("moco_v2", "a", 0, 0.1)
    del lacking["map"]
    with pytest.raises(ValueError, match=r"demo/moco_v2/a/0 lack the key 'map'"):
        collect([lacking])
    with pytest.raises(ValueError, match="demo/moco_v2/a/1 is given twice"):
        collect([metrics("moco_v2", "a", 1, 0.1), metrics("moco_v2", "a", 1, 0.2)])
    with pytest.raises(ValueError, match="no runs"):
        collect([])
    with pytest.raises(ValueError, match="no run of moco_v2"):
        crops_table(runs[runs.method == "byol"])
    other = collect([metrics("moco_v2", "b", 0, 0.1, test_images=299)])
    for report in (crops_table, methods_table, verdicts):
        with pytest.raises(ValueError, match="different test_images cannot be compared: 300, 299"):
            report(pd.concat([runs, other.assign(policy="scene-scene")]))
