"""The commands and programs of the short pages of docs/ run as they are printed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from oac.data import synthetic

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
NOT_CODE = (".*", "__pycache__", "*.egg-info", "build", "docs", "logs", "resources", "results", "state")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with 40 photos in `photos`, one of them one.jpg."""
    folder = tmp_path_factory.mktemp("docs")
    synthetic.write_release(folder / "release", seed=0, train=40, validation=1, test=1, size=96)
    shutil.copytree(folder / "release/train", folder / "photos")
    next(iter(sorted((folder / "photos").iterdir()))).rename(folder / "photos/one.jpg")
    return folder


def blocks(page, language):
    """The code blocks of a page in one language, "" for commands and what they print."""
    parts = re.split(r"^```(\w*)\n", (DOCS / page).read_text(encoding="utf-8"), flags=re.M)
    # Text, opening fence, block, closing fence, text, ...
    return [block for fence, block in zip(parts[1::4], parts[2::4], strict=True) if fence == language]


def run_commands(page, folder):
    """Run the first block of commands of a page, but for pip's; the output of the last command."""
    done = None
    for line in blocks(page, "")[0].splitlines():
        command = line.partition("#")[0].split()
        if command[0] == "python":
            done = subprocess.run(
                [sys.executable, *command[1:]], cwd=folder, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
    return done.stdout


def run_python(folder, *parts, repo=ROOT):
    """Run a program with the package of a copy of the repository; what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(parts)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(repo / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_boxes_from_the_shell_and_from_python(photos):
    assert "boxes of 40 photos" in run_commands("boxes.md", photos)
    assert (photos / "boxes.csv").read_text().splitlines()[0] == blocks("boxes.md", "")[1].strip()
    assert len(list((photos / "drawn").glob("*.png"))) == 40
    assert run_python(photos, *blocks("boxes.md", "python"), "print(boxes.shape)").strip() == "(10, 4)"


def test_crops_in_a_loop_of_ones_own(photos):
    run_commands("own_loop.md", photos)
    loader = blocks("own_loop.md", "python")[0]
    said = run_python(photos, loader, "first, second = next(iter(loader))", "print(first.shape, second.dtype)")
    assert said.strip() == "torch.Size([16, 3, 64, 64]) torch.float32"


def test_lightlys_moco_trains_with_the_crops(photos):
    pytest.importorskip("lightly", reason="lightly is no requirement of the project: pip install lightly")
    run_commands("own_loop.md", photos)
    losses = [
        float(found) for found in re.findall(r"loss (\S+)", run_python(photos, *blocks("own_loop.md", "python")))
    ]
    assert len(losses) == 2
    assert all(0 < loss < 20 for loss in losses)


@pytest.fixture(scope="module")
def checkout(photos, tmp_path_factory):
    """A folder to call Snakemake in, with a dozen photos in `photos` and labels of them."""
    folder = tmp_path_factory.mktemp("own photos")
    (folder / "photos").mkdir()
    names = [path.name for path in sorted((photos / "photos").iterdir())[:12]]
    for name in names:
        shutil.copy(photos / "photos" / name, folder / "photos")
    lines = [f"{name},{'ab'[number % 2]},{'test' if number > 7 else 'train'}" for number, name in enumerate(names)]
    (folder / "labels.csv").write_text("image_id,label,split\n" + "\n".join(lines) + "\n")
    return folder


def snakemake(folder, command, repo=ROOT):
    """Call Snakemake in a folder as a page says, with the code of a copy of the repository; what it prints."""
    program, *arguments = shlex.split(command)
    assert program == "snakemake"
    whole = [sys.executable, "-m", "snakemake", "--snakefile", str(repo / "Snakefile"), "--directory", str(folder)]
    configfile = ["--configfile", str(repo / "config/config.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(repo / "src")}
    done = subprocess.run(
        [*whole, *arguments, *configfile], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def planned(rule, text):
    """Jobs of a rule in the statistics of a dry run."""
    found = re.search(rf"^{rule} +(\d+)$", text, re.M)
    return int(found[1]) if found else 0


def commands(page):
    """The calls of Snakemake of a page, without comments."""
    lines = [line.partition("#")[0] for block in blocks(page, "") for line in block.splitlines()]
    return [line for line in lines if line.startswith("snakemake")]


def test_an_encoder_of_ones_own_photos(checkout):
    """Its first command as it stands; of the studies that follow the plan, as the encoder is there already."""
    first, birds, labels = commands("own_photos.md")
    snakemake(checkout, first)
    assert (checkout / "results/my_photos/report/summary.md").exists()
    weights = run_python(
        checkout, *blocks("own_photos.md", "python"), "print(sum(p.numel() for p in encoder.parameters()))"
    )
    assert int(weights) == 11_176_512
    snakemake(checkout, labels)
    assert "Given encoder" in (checkout / "results/my_labels/report/summary.md").read_text()
    study = checkout / "birds.yaml"
    study.write_text(blocks("own_photos.md", "yaml")[0].replace("/data/birds", "photos"))
    snakemake(checkout, birds.replace("birds.yaml]", f"{study}]") + " --dry-run")


def test_the_tutorial_trains_the_runs_that_it_says(tmp_path):
    """Its commands as dry runs: nine trainings, none for the figure of the crops, three more of the line added."""
    study = tmp_path / "boxes.yaml"
    written, added = blocks("tutorial.md", "yaml")
    study.write_text(written)
    dry, crops, whole = (line.replace("boxes.yaml]", f"{study}]") for line in commands("tutorial.md"))
    assert planned("pretrain", snakemake(tmp_path, dry)) == 9
    drawn = snakemake(tmp_path, f"{crops} --dry-run")
    assert (planned("pretrain", drawn), planned("draw_contact_sheet", drawn)) == (0, 1)
    study.write_text(written.replace("methods:", f"{added}methods:"))
    assert planned("pretrain", snakemake(tmp_path, f"{whole} --dry-run")) == 12


@pytest.fixture
def extended(tmp_path):
    """A copy of the code to which a page's changes are applied."""
    repo = tmp_path / "repo"
    shutil.copytree(ROOT, repo, ignore=shutil.ignore_patterns(*NOT_CODE))

    def apply(page):
        for change in blocks(page, "diff"):
            done = subprocess.run(
                ["git", "apply", "-"], cwd=repo, input=change, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
        return repo

    return apply


def test_a_policy_of_ones_own(extended, tmp_path):
    """The page's policy cuts where it says, and its study is one that Snakemake would run."""
    repo = extended("own_policy.md")
    checked = """
from oac.pretrain.crops import CropPolicy, draw_views, DRAWS
box, size = np.array([[[0.4, 0.4, 0.6, 0.6], [0.0, 0.5, 0.2, 1.0]]]), np.array([[100.0, 100.0]])
for chosen in (0, 1):
    u, of_two = np.full((1, DRAWS), 0.3), np.array([2])
    views = draw_views(CropPolicy("object-around", "given"), 0.5, box, of_two, size, u, np.array([chosen]))
    print(views.regions[0, 1].round(9).tolist())
print(first.size, second.size)
"""
    said = run_python(tmp_path, *blocks("own_policy.md", "python"), checked, repo=repo)
    assert said.splitlines() == ["[20.0, 20.0, 80.0, 80.0]", "[0.0, 0.0, 40.0, 100.0]", "(32, 32) (32, 32)"]
    study = tmp_path / "around.yaml"
    study.write_text(blocks("own_policy.md", "yaml")[0])
    sheet, whole = (line.replace("around.yaml]", f"{study}]") for line in commands("own_policy.md"))
    drawn = snakemake(tmp_path, f"{sheet} --dry-run", repo)
    assert (planned("pretrain", drawn), planned("draw_contact_sheet", drawn)) == (0, 1)
    assert planned("pretrain", snakemake(tmp_path, f"{whole} --dry-run", repo)) == 9


def test_a_method_of_ones_own(extended, tmp_path):
    """The page's method is trained and probed, by its command and with its study, on the tests' tiny images."""
    repo = extended("own_method.md")
    (repo / "src/oac/pretrain/methods/simsiam.py").write_text(blocks("own_method.md", "python")[0])
    study = yaml.safe_load(blocks("own_method.md", "yaml")[0])
    study |= {"setup_from": "tiny", "crops": {"scene-scene": {"policy": "scene-scene", "seeds": [0]}}}
    study["methods"] |= {"random_init": None, "simsiam": study["methods"]["simsiam"] | {"batch_size": 16}}
    (repo / "simsiam.yaml").write_text(yaml.safe_dump(study))
    (command,) = commands("own_method.md")
    snakemake(tmp_path, command.replace("[simsiam", "[tests/config/tiny.yaml,simsiam") + " gpu=0", repo)
    table = (tmp_path / "results/simsiam/report/tables/methods.md").read_text()
    assert re.search(r"^\| SimSiam \| scene-scene \|", table, re.M)


@pytest.mark.parametrize("page", ["boxes.md", "own_loop.md", "own_photos.md"])
def test_a_page_for_one_reader_is_short_and_ends_in_a_picture(page):
    lines = (DOCS / page).read_text(encoding="utf-8").rstrip().splitlines()
    text = re.sub(r"^```python\n.*?^```", "", "\n".join(lines), flags=re.M | re.S)
    assert len(text.splitlines()) <= 60
    assert lines[-1].startswith("![")
