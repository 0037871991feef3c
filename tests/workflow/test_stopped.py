"""What a call of Snakemake leaves and says that was killed, stopped or told to be quiet."""

from __future__ import annotations

import shutil
import signal

import psutil
import pytest

from .test_preempted import STEPS
from .trainers import logged_steps, trainers, training, wait_for

RUN = "results/tiny/pretrain/moco_v2/scene-scene/seed0"


def test_after_a_sigkill_of_snakemake_the_message_names_what_to_do_and_it_helps(copied, tmp_path):
    config = copied.changed({"pretrain.images_seen": 16 * STEPS}, tmp_path)
    with training(copied, f"{RUN}/encoder.safetensors", config=config) as snakemake:
        left = trainers(snakemake)
    for trainer in left:
        trainer.terminate()
    psutil.wait_procs(left, timeout=600)
    refused = copied.run(f"{RUN}/encoder.safetensors", config=config)
    assert refused.code != 0
    assert "LockException" in refused.text
    assert "--unlock" in refused.text
    assert copied.run("--unlock", config=config).code == 0
    again = copied.run(f"{RUN}/encoder.safetensors", config=config)
    assert again.code == 0, again.text
    steps = logged_steps(copied.folder / f"{RUN}/history.jsonl", r'^{"step": (\d+),')
    assert steps == list(range(STEPS // 100, STEPS + 1, STEPS // 100))


def test_a_sigterm_in_the_report_leaves_nothing_that_the_next_call_does_not_mend(copied):
    figures = copied.folder / "results/tiny/report/figures"
    expected = {path.name: path.read_bytes() for path in figures.iterdir()}
    shutil.rmtree(figures)
    (figures.parent / "summary.md").unlink()  # which a call asks for, and a stopped one has not made
    snakemake = copied.start()
    try:
        wait_for(lambda: figures.is_dir() and list(figures.glob("[!.]*.png")), snakemake)
        snakemake.send_signal(signal.SIGTERM)
        text, _ = snakemake.communicate(timeout=1500)
    finally:
        snakemake.kill()
    assert snakemake.returncode != 0, text
    assert set(expected) - {path.name for path in figures.iterdir()}, "it was over before it was stopped"
    result = copied.run()
    assert result.code == 0, result.text
    made = {path.name: path.read_bytes() for path in figures.iterdir()}
    assert sorted(made) == sorted(expected)
    assert [name for name in made if made[name] != expected[name]] == []
    assert "Nothing to be done" in copied.planned().text


@pytest.mark.parametrize("quiet", [["--quiet"], ["--quiet", "all"]], ids=" ".join)
def test_a_quiet_call_says_why_a_job_failed(copied, tmp_path, quiet):
    config = copied.changed({"data.subset.class_list": ["Striped square"]}, tmp_path)
    result = copied.run("resources/tiny/subset_checked.json", *quiet, config=config)
    assert result.code != 0
    assert "logs/tiny/check_subset.log" in result.text
    assert result.text.count("no train images") == 1
