"""What a reader of the documentation meets: links that lead somewhere, and no gap left to fill."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_and_no_gap_is_left(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"@[A-Z_]+@|TODO|TBD", text)
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in link:
            assert (page.parent / link).exists(), link


def test_the_readme_names_every_study_and_no_other():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    studies = {path.stem for path in (ROOT / "config/studies").glob("*.yaml")}
    assert set(re.findall(r"config/studies/(\w+)\.yaml", text)) == studies


def test_published_tables_are_those_of_the_study_as_it_stands():
    """A study file that changed after its table was published would leave numbers of another recipe in the README."""
    for folder in sorted((ROOT / "docs/results").iterdir()):
        if folder.is_dir():
            study = yaml.safe_load((ROOT / f"config/studies/{folder.name}.yaml").read_text())
            table = (folder / "tables/crops.csv").read_text()
            for crops in study["crops"]:
                assert f",{crops}," in table, (folder.name, crops)
            assert f",{study['pretrain']['images_seen'] // 64 * 64}," in table, folder.name
