"""The overlap of crops from its rules: measured without training, shown where there are variants to compare."""

import pandas as pd

REPORT = "results/tiny/report"


def test_the_overlap_is_measured_before_anything_is_trained(fresh):
    plan = fresh.planned(f"{REPORT}/overlap.csv")
    assert plan.jobs["measure_overlap"] == plan.jobs["train_bing"] == 1
    assert not {"pretrain", "extract_features", "fit_probe"} & set(plan.jobs)


def test_table_and_figure_are_made_of_what_was_measured(copied):
    result = copied.run(f"{REPORT}/tables/overlap.csv", f"{REPORT}/figures/overlap.png", "--cores", "2")
    assert result.code == 0, result.text
    overlap = pd.read_csv(copied.folder / REPORT / "overlap.csv")
    assert list(overlap.crops) == ["scene-scene", "object-dilate"]
    assert (overlap.pairs > 0).all()
    table = pd.read_csv(copied.folder / REPORT / "tables/overlap.csv").set_index("crops")
    assert table.iou_percent["scene-scene"] > table.iou_percent["object-dilate"] > 0
    assert (copied.folder / REPORT / "figures/overlap.png").stat().st_size > 300


def test_three_variants_have_both_on_their_page_and_two_have_none(finished, fresh, tmp_path):
    jobs = {"measure_overlap", "make_overlap", "draw_overlap"}
    assert not (finished.folder / REPORT / "tables/overlap.md").exists()
    assert not jobs & set(fresh.planned("report").jobs)
    third = {"policy": "object-scene", "boxes": "bing", "seeds": [0]}
    config = fresh.changed({"crops.object-scene": third}, tmp_path)
    assert jobs < set(fresh.planned("report", config=config).jobs)


def test_every_table_and_figure_of_the_ablations_is_planned(fresh, tmp_path):
    """The paper's list, from the study of the ablations."""
    config = tmp_path / "config.yaml"
    config.write_text("studies: [ablations]\ngpu: 0\n")
    text = fresh.planned("report", config=config).text
    options = ["delta", "shift", "count", "boxes", "scale_lower", "scene_scale", "object_scene_scale", "heads"]
    for name in [*(f"ablation_{option}" for option in options), "overlap", "ap_by_size", "ap_by_frequency"]:
        assert f"results/ablations/report/figures/{name}.png" in text, name
    for name in [*(f"ablation_{option}" for option in options), "overlap"]:
        assert f"results/ablations/report/tables/{name}.html" in text, name
