"""The commands and programs of the short pages of docs/ run as they are printed."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oac.data import synthetic

DOCS = Path(__file__).resolve().parents[1] / "docs"


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


def run_python(folder, *parts):
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(parts)], cwd=folder, capture_output=True, text=True, check=False
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


def snakemake(folder, command):
    """Call Snakemake in a folder as a page says, on a CPU."""
    program, *arguments = shlex.split(command)
    assert program == "snakemake"
    whole = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(DOCS.parent / "Snakefile"),
        "--directory",
        str(folder),
    ]
    configfile = ["--configfile", str(DOCS.parent / "config/config.yaml")]
    done = subprocess.run([*whole, *arguments, *configfile], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_encoder_of_ones_own_photos(checkout):
    """Its first command as it stands; of the studies that follow the plan, as the encoder is there already."""
    first, birds, labels = (
        line.partition("#")[0]
        for block in blocks("own_photos.md", "")
        for line in block.splitlines()
        if "snakemake" in line
    )
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


@pytest.mark.parametrize("page", ["boxes.md", "own_loop.md", "own_photos.md"])
def test_a_page_for_one_reader_is_short_and_ends_in_a_picture(page):
    lines = (DOCS / page).read_text(encoding="utf-8").rstrip().splitlines()
    text = re.sub(r"^```python\n.*?^```", "", "\n".join(lines), flags=re.M | re.S)
    assert len(text.splitlines()) <= 60
    assert lines[-1].startswith("![")
