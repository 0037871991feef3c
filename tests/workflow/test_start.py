"""What Snakemake says and plans before any job has run."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def test_a_path_builds_only_what_it_needs(fresh):
    plan = fresh.planned("results/tiny/probe/moco_v2/scene-scene/seed5/metrics.json")
    assert plan.trained == {"moco_v2 on scene-scene, seed 5"}
    assert not {"train_bing", "propose_shard", "initialise_encoder"} & set(plan.jobs)
    assert plan.jobs["extract_features"] == plan.jobs["fit_probe"] == 1


@pytest.mark.parametrize("snakefile", ["workflow/Snakefile", "elsewhere/module.smk"])
def test_the_workflow_is_the_same_where_another_file_includes_it(fresh, snakefile):
    module = fresh.repo / "elsewhere/module.smk"
    module.parent.mkdir(exist_ok=True)
    module.write_text('include: "../workflow/Snakefile"\n')
    target = "results/tiny/report/tables/crops.md"
    plan = fresh.run("--dry-run", "--printshellcmds", target, snakefile=snakefile)
    assert plan.code == 0, plan.text
    assert plan.jobs == fresh.planned(target).jobs
    assert plan.trained


def test_a_run_of_several_gpus_wants_to_be_told_how_many_there_are(fresh):
    target = "results/tiny/pretrain/moco_v2/scene-scene/seed0/encoder.safetensors"
    refused = fresh.run("--dry-run", target, "--config", "gpu=2")
    assert refused.code != 0
    assert "--resources gpu=2" in refused.text
    assert "TypeError" not in refused.text
    plan = fresh.planned(target, "--config", "gpu=2", "--resources", "gpu=2", "--printshellcmds")
    assert "--gpus 2" in plan.text


def test_a_run_of_several_machines_wants_slurm(fresh, tmp_path, monkeypatch):
    target = "results/tiny/pretrain/moco_v2/scene-scene/seed0/encoder.safetensors"
    asked = [target, "--config", "gpu=2", "gpus_per_node=1", "--resources", "gpu=2"]
    programs = tmp_path / "bin"  # as on a machine without SLURM, which this one may have
    programs.mkdir()
    for program in Path("/usr/bin").iterdir():
        if program.name != "sbatch":
            (programs / program.name).symlink_to(program)
    monkeypatch.setenv("PATH", str(programs))
    refused = fresh.run("--dry-run", *asked)
    assert refused.code != 0
    assert "there is no sbatch here: set gpus_per_node" in refused.text
    assert "Traceback" not in refused.text
    (programs / "sbatch").touch(mode=0o755)
    assert "--gpus 2 --nodes 2" in fresh.planned(*asked, "--printshellcmds").text


def test_gpus_that_cannot_have_equal_parts_of_a_run_are_refused(fresh):
    target = "results/tiny/pretrain/moco_v2/scene-scene/seed0/encoder.safetensors"
    refused = fresh.run("--dry-run", target, "--config", "gpu=3", "--resources", "gpu=3")
    assert refused.code != 0
    assert re.search("batch_size of moco_v2 is [0-9]+, which does not divide among the 3 GPUs", refused.text)


def test_the_randomly_initialised_encoder_needs_no_data(fresh):
    plan = fresh.planned("results/tiny/pretrain/random_init/none/seed3/encoder.safetensors")
    assert plan.jobs == {"initialise_encoder": 1}


def test_a_path_of_a_study_that_is_not_configured_builds_too(fresh):
    plan = fresh.planned("results/demo/pretrain/moco_v2/object-dilate-gt/seed1/encoder.safetensors")
    assert plan.trained == {"moco_v2 on object-dilate-gt, seed 1"}
    assert plan.jobs["propose_from_table"] == 1


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"pretrain.images_sen": 5}, ["pretrain.images_sen", "did you mean images_seen?"]),
        ({"data.subset.class_list": []}, ["data.subset.class_list"]),
        ({"methods.moco_v2.batch_size": 15}, ["batch_size 15", "bn_splits"]),
        ({"methods.moco_v2.crops": ["scene-seene"]}, ["methods.moco_v2.crops", "scene-seene", "object-dilate"]),
        ({"methods.moco_v2.lr": "1e-4"}, ["methods.moco_v2.lr", "'1e-4'", "number"]),
    ],
)
def test_a_mistake_in_a_study_file_is_one_sentence(fresh, tmp_path, edits, words):
    result = fresh.run("--dry-run", config=fresh.changed(edits, tmp_path))
    assert result.code != 0
    (sentence,) = re.findall(r"tiny\.yaml: (.*)", result.text)
    assert [word for word in words if word not in sentence] == []
    assert "Traceback" not in result.text


def test_a_home_that_cannot_be_written_to_needs_another_cache_as_the_page_says(fresh, tmp_path, monkeypatch):
    target = "results/tiny/pretrain/random_init/none/seed3/encoder.safetensors"
    monkeypatch.setenv("HOME", "/proc/nobody")  # where not even root can make a folder
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    refused = fresh.run("--dry-run", target)
    assert refused.code != 0
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    (error,) = set(re.findall(r"^(\w+Error): .*/proc/nobody", refused.text, re.MULTILINE))
    assert f"`{error}`" in page
    monkeypatch.setenv(re.search(r"`export (\w+)=DIR`", page)[1], str(tmp_path / "cache"))
    assert fresh.planned(target).jobs == {"initialise_encoder": 1}


def test_files_of_editors_stop_nothing_and_a_study_file_with_another_ending_is_named(fresh):
    folder = fresh.repo / "config/studies"
    files = [folder / name for name in (".#demo.yaml", "._demo.yaml", "demo.yaml~", "birds.yml")]
    try:
        for file in files:
            file.write_bytes(b"\0no study")
        plan = fresh.planned("results/tiny/pretrain/random_init/none/seed3/encoder.safetensors")
    finally:
        for file in files:
            file.unlink()
    assert re.findall("warning: .*/(.*) is left out", plan.text) == ["birds.yml"]


def test_an_unknown_crop_variant_in_a_path_names_those_there_are(fresh):
    result = fresh.run("--dry-run", "results/tiny/pretrain/moco_v2/no-such-crops/seed0/encoder.safetensors")
    assert result.code != 0
    assert "no-such-crops" in result.text
    assert "scene-scene, object-dilate" in result.text


@pytest.mark.parametrize(
    "target",
    [
        "report/summary.md",
        "report/figures/images_per_class.png",
        "pretrain/random_init/none/seed0/encoder.safetensors",
        "probe/moco_v2/object-dilate/seed0/metrics.json",
    ],
)
def test_an_unknown_study_in_a_path_is_named_with_those_there_are(fresh, target):
    result = fresh.run("--dry-run", f"results/dmeo/{target}")
    assert result.code != 0
    known = ", ".join(sorted(path.stem for path in (fresh.repo / "config/studies").glob("*.yaml")))
    assert "'dmeo' (did you mean demo?)" in result.text
    assert f"{known}, tiny" in result.text


TOY = """
configfile: "none.yaml"


include: "workflow/rules/common.smk"


rule all:
    input:
        "a.txt",
        "b.txt",


rule use_gpu:
    output:
        "{name}.txt",
    resources:
        gpu=GPUS,
    shell:
        "date +%s.%N > {output}; sleep 1; date +%s.%N >> {output}; echo $OAC_RUNS_PER_GPU >> {output}"
"""


@pytest.mark.parametrize(("gpu", "runs_per_gpu", "overlap"), [(1, 1, False), (0, 1, True), (1, 2, True)])
def test_two_gpu_jobs_overlap_where_they_may_and_without_the_profile(fresh, tmp_path, gpu, runs_per_gpu, overlap):
    (fresh.repo / "toy.smk").write_text(TOY)
    config = tmp_path / "gpu.yaml"
    config.write_text(yaml.safe_dump({"studies": ["demo"], "gpu": gpu, "runs_per_gpu": runs_per_gpu}))
    result = fresh.run("--workflow-profile", "none", "--cores", "2", config=config, snakefile="toy.smk")
    assert result.code == 0, result.text
    (start_a, end_a, told), (start_b, end_b, _) = (
        map(float, (tmp_path / name).read_text().split()) for name in ("a.txt", "b.txt")
    )
    assert told == runs_per_gpu
    assert (start_a < end_b and start_b < end_a) == overlap


@pytest.mark.parametrize(
    "target",
    ["results/tiny/report/figures/crops_object-dialte.png", "results/tiny/probe/moco_v2/object-dialte/seed0/ap.csv"],
)
def test_a_misspelt_crop_variant_in_a_path_is_named_with_those_there_are(fresh, target):
    result = fresh.run("--dry-run", target)
    assert result.code != 0
    assert "'object-dialte'" in result.text
    assert "scene-scene, object-dilate" in result.text


def test_a_data_set_that_is_not_there_is_named_with_the_key(fresh, tmp_path):
    edits = {
        "data.source": "voc",
        "data.synthetic": None,
        "data.location": "nowhere",
        "data.store.shards": {"train": 1, "test": 1},
    }
    result = fresh.run("--dry-run", config=fresh.changed(edits, tmp_path))
    assert result.code != 0
    assert "study tiny: data.location nowhere" in result.text
    assert "docs/data.md" in result.text


def test_the_page_of_studies_draws_the_rules_as_they_are(fresh):
    drawn = fresh.run(
        "-F", "--rulegraph", "mermaid-js", "results/demo/report/summary.md", "results/demo/report/check.json",
        config=fresh.repo / "config/config.yaml",
    )  # fmt: skip
    assert drawn.code == 0, drawn.text
    names = dict(re.findall(r"(id\d+)\[(\w+)", drawn.text))
    kinds = {"draw": "figures", "make": "tables"}
    tables_and_figures = {name: kinds.get(name.partition("_")[0], name) for name in names.values()}
    tables_and_figures["make_release"] = "make_release"
    rules = {key: tables_and_figures[name] for key, name in names.items()}
    edges = {(rules[first], rules[second]) for first, second in re.findall(r"(id\d+) --> (id\d+)", drawn.text)}
    page = (ROOT / "docs/studies.md").read_text(encoding="utf-8")
    shown = page[page.index("```mermaid") :]
    shown = shown[: shown.index("```\n", 5)]
    assert set(re.findall(r"(\w+) --> (\w+)", shown)) == {edge for edge in edges if edge[0] != edge[1]}


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_study_of_the_papers_size_is_planned_in_a_few_seconds(fresh):
    """In less than six times what Snakemake takes for a file of one rule, whatever the machine; it was four."""
    (fresh.folder / "one").write_text("rule one:\n    output: 'x'\n    shell: 'touch x'\n")
    command = [sys.executable, "-m", "snakemake", "--snakefile", "one", "--dry-run"]
    before = processor_seconds()
    subprocess.run(command, cwd=fresh.folder, capture_output=True, check=True)
    one = processor_seconds()
    plan = fresh.planned("results/ohms/report/tables/crops.md")
    assert processor_seconds() - one < 6 * (one - before)
    assert plan.jobs["download_annotations"] == 7
    assert plan.jobs["store_photos"] == 213 + 42 + 40
    assert plan.jobs["pretrain"] == 10


def test_a_data_set_at_a_file_address_is_scored_with_its_difficult_marks(fresh, tmp_path):
    folder = tmp_path / "VOC 2007"
    for name in ("train", "val"):
        (folder / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
        (folder / "ImageSets" / "Main" / f"{name}.txt").write_text("000001\n")
    edits = {
        "data.source": "voc",
        "data.synthetic": None,
        "data.location": folder.as_uri(),
        "data.store.shards": {"train": 1, "test": 1},
    }
    target = "results/tiny/proposals/comparison/comparison.csv"
    plan = fresh.planned(target, config=fresh.changed(edits, tmp_path))
    assert plan.jobs["compare_proposals"] == 1
