"""Every table is found by its name and made of the files of its rule."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from oac.crop_options import ABLATIONS
from oac.report.check import check
from oac.report.loading import load, read_histories, read_results
from oac.report.making import TABLES, make_table, read_benchmarks
from oac.report.parts import OPTION


def files_of(metrics, folder):
    """The inputs of the rules that make tables, with a history and a benchmark file for one run."""
    paths = []
    for entry in metrics:
        path = folder / entry["method"] / entry["crops"] / f"seed{entry['seed']}" / "metrics.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(entry))
        paths.append(path)
    history = paths[0].with_name("history.jsonl")
    history.write_text('{"recipe": {}}\n{"images_seen": 640, "images_per_s": 64.0}\n')
    history.with_name("benchmark.tsv").write_text("s\tmax_pss\n41.5\t1024.0\n")
    (folder / "check.json").write_text(json.dumps(check(load(metrics))))
    names = dict.fromkeys(entry["crops"] for entry in metrics if entry["method"] == "moco_v2")
    columns = "iou,smaller_inside,disjoint,first_area,second_area,magnification,same_object,no_object,pairs"
    rows = [f"{name},0,{','.join(['0.5'] * 8)},99" for name in names]
    (folder / "overlap.csv").write_text("\n".join([f"crops,seed,{columns}", *rows]) + "\n")
    return SimpleNamespace(
        metrics=paths,
        histories=[history],
        check=folder / "check.json",
        overlap=folder / "overlap.csv",
        ohms=paths,
        imagenet=[],
    )


def test_every_table_is_made_of_its_files(metrics_of, tmp_path):
    metrics = metrics_of("audit", lambda method, crops, seed: 0.3 + seed / 100)
    files = files_of(metrics, tmp_path)
    for name in [*TABLES, f"{OPTION}heads"]:
        table = make_table(name, files)
        assert table.rows, name
        assert {len(row) for row in table.cells()} == {len(table.columns)}
    with pytest.raises(ValueError, match="no table 'crop': there are crops"):
        make_table("crop", files)
    with pytest.raises(ValueError, match=next(iter(ABLATIONS))):
        make_table(f"{OPTION}head", files)


def test_files_are_found_by_the_path_of_their_run(metrics_of, tmp_path):
    metrics = metrics_of("demo", lambda method, crops, seed: 0.3)
    files = files_of(metrics, tmp_path)
    first = f"{metrics[0]['method']}/{metrics[0]['crops']}/seed{metrics[0]['seed']}"
    assert read_histories(files.histories) == {first: [{"recipe": {}}, {"images_seen": 640, "images_per_s": 64.0}]}
    assert read_benchmarks(files.histories) == {first: {"s": "41.5", "max_pss": "1024.0"}}
    assert read_results(files.metrics) == load(metrics)
    files.histories[0].with_name("benchmark.tsv").unlink()
    assert read_benchmarks(files.histories) == {}
