"""The page of an encoder says what it was trained on, and is not written where that would be wrong."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from oac.pretrain import recipe as recipes
from oac.pretrain.nn import encoder_recipe, load_encoder, save_encoder

SCRIPT = Path(__file__).resolve().parents[2] / "workflow/scripts/describe_encoder.py"


def describe(encoder, out, *arguments):
    command = [sys.executable, str(SCRIPT), str(encoder), "--out", str(out), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def encoder(finished):
    return finished("moco_v2") / "encoder.safetensors"


def test_the_page_names_data_budget_crops_recipe_result_and_licence(encoder, tmp_path):
    digest = recipes.digest(encoder_recipe(encoder))
    metrics = tmp_path / "metrics.json"
    metrics.write_text(json.dumps({"recipe_hash": digest, "map": 0.7123, "test_images": 1500, "classes": 12}))
    done = describe(encoder, tmp_path / "encoder.md", "--metrics", str(metrics))
    assert done.returncode == 0, done.stderr
    rows = dict(re.findall(r"^\| (\w[^|]*) \| (.*) \|$", (tmp_path / "encoder.md").read_text(), re.M))
    seen = json.loads(encoder.with_name("history.jsonl").read_text().splitlines()[-1])["images_seen"]
    assert rows["Budget"].startswith(f"{seen:,} images seen, batches of 16, views of 16 px")
    assert "source: synthetic" in rows["Data"]
    assert "policy object-dilate" in rows["Crops"]
    assert "ground_truth" in rows["Crops"]
    assert digest in rows["Recipe"]
    assert rows["Result"].startswith("mAP 71.2 %")
    assert hashlib.sha256(encoder.read_bytes()).hexdigest() in rows["SHA-256 of the file"]
    assert rows["Licence"].startswith("MIT")
    assert rows["Start"] == "random weights"


def test_metrics_of_another_run_are_refused(encoder, tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"recipe_hash": "0" * 12}))
    done = describe(encoder, tmp_path / "encoder.md", "--metrics", str(tmp_path / "metrics.json"))
    assert done.returncode != 0
    assert "another recipe" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "encoder.md").exists()


@pytest.mark.parametrize(
    "foreign",
    [{"data": {"source": "voc"}}, {"init": {"file": "models/resnet18.pth", "sha256": "5c106cde"}}],
    ids=["photos", "weights"],
)
def test_an_encoder_of_other_peoples_photos_or_weights_needs_a_licence(encoder, tmp_path, foreign):
    recipe = encoder_recipe(encoder) | foreign
    save_encoder(load_encoder(encoder), recipe, tmp_path / "encoder.safetensors")
    (tmp_path / "history.jsonl").write_text(encoder.with_name("history.jsonl").read_text())
    done = describe(tmp_path / "encoder.safetensors", tmp_path / "encoder.md")
    assert done.returncode != 0
    assert "--licence" in done.stderr
    assert "Traceback" not in done.stderr
    done = describe(tmp_path / "encoder.safetensors", tmp_path / "encoder.md", "--licence", "CC BY-NC 4.0")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "encoder.md").read_text()
    assert "| Licence | CC BY-NC 4.0 |" in text
    assert "no use for photos" not in text
    assert ("| Start | `resnet18.pth`, SHA-256 `5c106cde` |" in text) == ("init" in foreign)
