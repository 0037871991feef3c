"""What a reader of the documentation meets: links that lead somewhere, and no gap left to fill."""

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from oac import studies, study_files, versions
from oac.pretrain import recipe as recipes
from oac.report.results import METHOD_NAMES

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_and_no_gap_is_left(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"@[A-Z_]+@|TODO|TBD", text)
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in link:
            assert (page.parent / link).exists(), link


def test_the_page_of_studies_names_every_study_and_no_other():
    text = (ROOT / "docs/studies.md").read_text(encoding="utf-8")
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


# Studies whose tables are published; what lies in docs/results/earlier is of older study files.
PUBLISHED = sorted(path.parent.name for path in (ROOT / "docs/results").glob("*/tables"))


def published(name, table):
    """A published table; none where the study's page has not that one."""
    path = ROOT / f"docs/results/{name}/tables/{table}.csv"
    return pd.read_csv(path, keep_default_na=False, na_values=[""]) if path.exists() else pd.DataFrame()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_tables_are_of_the_study_as_it_stands(name):
    """A study file that changed after its table was published would leave numbers of another recipe in the README."""
    study = study_files.read_study(ROOT / f"config/studies/{name}.yaml")
    table = pd.concat([published(name, kind) for kind in ("crops", "methods")])
    table = table.drop_duplicates(["method", "crops"]).set_index(["method", "crops"])
    known = {variant: hashes.split() for variant, hashes in table["recipe_hashes"].items()}
    for method, crops, seed in studies.runs(study):
        assert digests(study, method, crops, seed) & set(known.get((method, crops), [])), (method, crops, seed)
    assert sum(map(len, known.values())) == len(studies.runs(study))


def row_of(name, table, *cells):
    """The line of a published table in Markdown that begins with these cells, split."""
    page = (ROOT / f"docs/results/{name}/tables/{table}.md").read_text(encoding="utf-8")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if "|" in line]
    (line,) = [line for line in lines if line[: len(cells)] == list(cells)]
    return line


def half_width(values):
    return (stats.ttest_1samp(values, 0).confidence_interval().high - values.mean()).item()


def mean_and_interval(values):
    """As a table prints it."""
    if len(values) < 3:
        return f"{values.mean():.1f}"
    half = half_width(values)
    return f"{values.mean():.1f} ± {half:.{1 if half >= 0.1 else 2}f}"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_means_and_intervals_are_those_of_the_published_runs(name):
    """With scipy alone, from the mAP of each run."""
    runs = published(name, "runs").set_index(["method", "crops", "seed"])["map_percent"].sort_index()
    for table in ("crops", "methods"):
        rows = published(name, table)
        assert len(rows), table
        for row in rows.itertuples():
            values = runs[row.method, row.crops]
            assert row.map_percent == pytest.approx(values.mean())
            assert pd.isna(row.map_half_width_percent) == (len(values) < 3)
            assert len(values) < 3 or row.map_half_width_percent == pytest.approx(half_width(values))
            crops = "–" if row.crops == "none" else row.crops
            line = row_of(name, table, METHOD_NAMES[row.method], crops)
            assert line[5] == mean_and_interval(values), (row.method, row.crops)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_differences_and_p_are_those_of_the_published_runs(name):
    """By definition, or with scipy: paired t-intervals, sign-flip tests and Holm's p over the study's contrasts."""
    runs = published(name, "runs").set_index(["method", "crops", "seed"])["map_percent"].sort_index()
    rows, tested = published(name, "pairs"), {}
    for row in rows.itertuples():
        variant, against = (row.method, row.crops), (row.against_method, row.against_crops)
        first, second = runs[variant], runs[against]
        both = sorted(set(first.index) & set(second.index))
        changes = (first[both] - second[both]).to_numpy()
        assert row.difference_points == pytest.approx(changes.mean())
        assert (row.n, pd.isna(row.difference_half_width_points)) == (len(both), len(both) < 3)
        if len(both) < 3:
            continue
        assert row.difference_half_width_points == pytest.approx(half_width(changes))
        if not pd.isna(row.difference_p_holm):
            tested[variant, against] = stats.ttest_rel(first[both], second[both]).pvalue
            assert row.difference_p == pytest.approx(tested[variant, against])
            if "difference_p_flip" in rows:
                means = [abs(np.dot(signs, changes)) for signs in itertools.product((1, -1), repeat=len(both))]
                assert row.difference_p_flip == pytest.approx(np.mean(np.array(means) >= abs(changes.sum()) - 1e-9))
    if "role" in rows:  # tables of before contrasts were declared have p in every row
        declared = studies.contrasts(study_files.read_study(ROOT / f"config/studies/{name}.yaml"))
        assert set(tested) == set(declared)
    adjusted = dict(zip(sorted(tested, key=tested.__getitem__), holm(tested.values()), strict=True))
    for row in rows.itertuples():
        pair = (row.method, row.crops), (row.against_method, row.against_crops)
        assert pair not in adjusted or row.difference_p_holm == pytest.approx(adjusted[pair])


def holm(values):
    """p adjusted after Holm, smallest first."""
    ordered = sorted(values)
    return [max(min(1, (len(ordered) - j) * ordered[j]) for j in range(i + 1)) for i in range(len(ordered))]


def test_the_demo_has_the_options_that_its_search_chose():
    """The combination with the highest sum of both policies' means, on the validation photos."""
    search = study_files.read_study(ROOT / "config/studies/demo_search.yaml")
    means = published("demo_search", "crops").set_index("crops")["map_percent"]
    sums: dict[tuple[float, float], float] = {}
    for crops, variant in search["crops"].items():
        options = variant["method_options"]["lr"], variant["method_options"]["temperature"]
        sums[options] = sums.get(options, 0.0) + means[crops]
    demo = study_files.read_study(ROOT / "config/studies/demo.yaml")["methods"]["moco_v2"]
    assert (demo["lr"], demo["temperature"]) == max(sums, key=sums.__getitem__)
    assert search["probe"]["test"] == "validation"


def test_the_readme_shows_the_demos_table():
    """Every mAP of the published table stands in the README's copy of it."""
    rows = re.findall(r"^\| .* \|$", (ROOT / "docs/results/demo/tables/crops.md").read_text(encoding="utf-8"), re.M)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(rows) > 2
    for row in rows:
        assert row in text
