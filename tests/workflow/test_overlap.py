"""The overlap of crops from its rules: measured without training, shown where there are variants to compare."""

import pandas as pd

REPORT = "results/tiny/report"


def test_the_overlap_is_measured_before_anything_is_trained(fresh):
    plan = fresh.planned(f"{REPORT}/overlap.csv")
    assert plan.jobs["measure_overlap"] == plan.jobs["train_bing"] == 1
    assert not {"pretrain", "extract_features", "fit_probe"} & set(plan.jobs)


def test_table_and_figure_stand_on_a_studys_page(finished):
    overlap = pd.read_csv(finished.folder / REPORT / "overlap.csv")
    assert list(overlap.crops) == ["scene-scene", "object-dilate"]
    assert (overlap.pairs > 0).all()
    table = pd.read_csv(finished.folder / REPORT / "tables/overlap.csv").set_index("crops")
    assert table.iou_percent["scene-scene"] > table.iou_percent["object-dilate"] > 0
    page = (finished.folder / REPORT / "summary.md").read_text()
    assert (finished.folder / REPORT / "tables/overlap.md").read_text().strip() in page
    assert "figures/overlap.png" in page


def test_a_study_of_one_variant_has_none(finished, tmp_path):
    config = finished.changed({"crops.object-dilate": None}, tmp_path)
    jobs = finished.planned("report", config=config).jobs
    assert not {"measure_overlap", "make_overlap", "draw_overlap"} & set(jobs)


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
