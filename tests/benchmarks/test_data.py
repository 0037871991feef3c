"""The benchmarks of the data stage in tiny sizes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import shard
import store
from oac.data.openimages import read_release
from open_images import Size, write_split

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_a_shard_and_a_store_are_measured_beside_the_work_in_memory(tmp_path):
    result = shard.measure(20, turns=2)
    assert result["photos"] == 20
    assert result["shard_per_s"] > 0
    assert 0 < result["ratio"]["min"] <= result["ratio"]["median"]
    result = store.measure(tmp_path, 1010, reads=5, turns=2, memory_reads=(20,))
    assert result["from_store_per_s"] > 0
    assert len(result["peak_mib"]) == 2
    assert all(20 < peak < 1000 for peak in result["peak_mib"].values())


def test_annotation_files_of_the_asked_size_are_read_as_a_release(tmp_path):
    write_split(tmp_path, "train", Size(images=300, boxes=2500))
    release = read_release(tmp_path, ["train"])
    assert len(release.boxes) == 2500


def test_annotations_are_converted_in_a_process_of_its_own(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "annotations.py"), "--folder", str(tmp_path / "made")]
    done = subprocess.run([*command, "--scale", "0.02", "--runs", "1"], capture_output=True, text=True, check=True)
    shown = [line for line in done.stdout.splitlines() if line.startswith("train")]
    assert len(shown) == 2
    assert json.loads(shown[0].split(": ", 1)[1])["rows"] == round(14_610_229 * 0.02)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("size", [(1024, 683), (1024, 768)])
def test_synthetic_photos_are_the_same_at_every_call(size):
    from synthetic_photos import jpegs

    assert list(jpegs(2, size)) == list(jpegs(2, size))
