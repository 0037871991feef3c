"""What a reader of the documentation meets: links that lead somewhere, and no gap left to fill."""

import itertools
import re
from pathlib import Path

import pandas as pd
import pytest

from oac import studies, versions
from oac.pretrain import recipe as recipes

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


def digests(study, method, crops, seed):
    """The hashes of a run's recipe, for this version of the code and for every earlier one."""
    recipe = recipes.build(study, method, crops, seed)
    hashes = set()
    for pretrain, bing in itertools.product(range(1, versions.PRETRAIN + 1), range(1, versions.PROPOSALS + 1)):
        earlier = recipe | {"recipe_version": pretrain}
        if "bing_version" in recipe.get("proposals", {}):
            earlier["proposals"] = recipe["proposals"] | {"bing_version": bing}
        hashes.add(recipes.digest(earlier))
    return hashes


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "docs/results").iterdir() if path.is_dir()))
def test_published_tables_are_of_the_study_as_it_stands(name):
    """A study file that changed after its table was published would leave numbers of another recipe in the README."""
    file = ROOT / f"config/studies/{name}.yaml"
    study = studies.read_study(file)
    tables = (pd.read_csv(ROOT / f"docs/results/{name}/tables/{kind}.csv") for kind in ("crops", "methods"))
    table = pd.concat(tables).drop_duplicates(["method", "crops"]).set_index(["method", "crops"])
    published = {variant: hashes.split() for variant, hashes in table["recipe_hashes"].items()}
    for method, crops, seed in studies.runs(study):
        assert digests(study, method, crops, seed) & set(published.get((method, crops), [])), (method, crops, seed)
    assert sum(map(len, published.values())) == len(studies.runs(study))


def test_the_readme_shows_the_demos_table():
    """Every mAP of the published table stands in the README's copy of it."""
    rows = re.findall(r"^\| .* \|$", (ROOT / "docs/results/demo/tables/crops.md").read_text(encoding="utf-8"), re.M)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(rows) > 2
    for row in rows:
        assert row in text
