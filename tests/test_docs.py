"""What a reader of the documentation meets: links that lead somewhere, and no gap left to fill."""

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from oac import __version__, studies, study_files, versions
from oac.pretrain import recipe as recipes
from oac.report.results import METHOD_NAMES

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "config/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / ".github").rglob("*.md")),
]


# Of the format's keys those that this file may have; readers refuse what is none of the format's.
TOP_KEYS = {
    *("cff-version", "message", "title", "authors", "type", "version", "license", "preferred-citation"),
    *(
        "abstract",
        "commit",
        "contact",
        "date-released",
        "doi",
        "identifiers",
        "keywords",
        "license-url",
        "references",
    ),
    *("repository", "repository-artifact", "repository-code", "url"),
}
AUTHOR_KEYS = {
    "name",
    "family-names",
    "given-names",
    "name-particle",
    "name-suffix",
    "affiliation",
    "orcid",
    "website",
}


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


def test_the_version_is_the_same_wherever_it_stands():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", changelog, re.M)[1] == __version__
    assert re.search(r"^version: (\S+)", citation, re.M)[1] == __version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def names(authors):
    """Of each author of a CITATION.cff the name: a person's, or an entity's."""
    return [
        " ".join(filter(None, (author.get(key) for key in ("given-names", "family-names", "name"))))
        for author in authors
    ]


def test_the_citation_has_what_the_citation_file_format_requires():
    """CFF 1.2.0: https://github.com/citation-file-format/citation-file-format/blob/1.2.0/schema-guide.md."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] in ("software", "dataset")
    assert citation["version"] == __version__
    paper = citation["preferred-citation"]
    assert paper["type"] == "article"
    assert isinstance(paper["year"], int)
    assert paper["month"] in range(1, 13)
    texts = [
        *(citation[key] for key in ("message", "title", "license")),
        *(paper[key] for key in ("title", "journal")),
    ]
    texts += names(citation["authors"]) + names(paper["authors"])
    assert all(isinstance(text, str) and text.strip() for text in texts)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert (paper["url"] in readme, str(paper["year"]) in readme) == (True, True)
    assert set(citation) <= TOP_KEYS
    for author in citation["authors"] + paper["authors"]:
        assert set(author) <= AUTHOR_KEYS
        assert "name" in author or {"family-names", "given-names"} <= set(author)


def test_the_workflow_catalogue_finds_what_it_asks_for():
    """As generate-catalog.py of github.com/snakemake/snakemake-workflow-catalog reads a repository."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8").lower()
    assert ("snakemake" in readme, "workflow" in readme) == (True, True)
    for name in ("workflow/Snakefile", "config/README.md"):
        assert (ROOT / name).read_text(encoding="utf-8").strip(), name
    assert {path.suffix for path in (ROOT / "workflow/rules").iterdir()} == {".smk"}
    page = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))
    usage = page.pop("usage")
    assert not page
    flags, deployment = usage.pop("mandatory-flags"), usage.pop("software-stack-deployment")
    assert {key: type(text) for key, text in flags.items()} == {"desc": str, "flags": str}
    assert set(deployment) == {"conda", "apptainer", "apptainer+conda"}
    assert all(type(value) is bool for value in (*deployment.values(), usage.pop("report")))
    assert not usage


@pytest.mark.parametrize(
    "template", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.md")), ids=lambda path: path.name
)
def test_github_lists_an_issue_template(template):
    """It asks for a name and for what the template is about, and leaves out a template without."""
    _, front, body = re.split(r"^---\n", template.read_text(encoding="utf-8"), maxsplit=2, flags=re.M)
    assert {"name", "about"} <= {key for key, text in yaml.safe_load(front).items() if text.strip()}
    assert len(re.findall(r"^\*\*", body, re.M)) > 2


def test_what_contributing_names_in_a_file_is_there():
    """Of its table, the constants that a row names stand in a file that the row links."""
    rows = re.findall(r"^\| (?:source|figure|table) .*", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M)
    rows[-1] = rows[-2] + rows[-1]  # it says "the same with", of the row before
    assert len(rows) == 3
    for row in rows:
        files = [ROOT / link for link in re.findall(r"\]\(([^)#]+)\)", row)]
        text = "\n".join(path.read_text(encoding="utf-8") for path in files if path.is_file())
        named = re.findall(r"`([A-Z_]{3,})`", row)
        assert named
        for name in named:
            assert re.search(rf"\b{name}\b", text), name


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


# Studies whose tables are published.
PUBLISHED = sorted(path.parent.name for path in (ROOT / "docs/results").glob("*/tables"))


def published(name, table):
    """A published table; none where the study's page has not that one."""
    path = ROOT / f"docs/results/{name}/tables/{table}.csv"
    return pd.read_csv(path, keep_default_na=False, na_values=[""]) if path.exists() else pd.DataFrame()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_tables_are_of_the_study_as_it_stands(name):
    """A study file that changed after its table was published would leave numbers of another recipe in the README."""
    study = study_files.read_study(ROOT / f"config/studies/{name}.yaml")
    known = published(name, "runs").set_index(["method", "crops", "seed"])["recipe_hash"]
    for method, crops, seed in studies.runs(study):
        assert known[method, crops, seed] in digests(study, method, crops, seed), (method, crops, seed)
    assert len(known) == len(studies.runs(study))


def printed_rows(name, table):
    """The lines of a published table in Markdown, in the order of its CSV: what stands in the column of a header."""
    return table_rows((ROOT / f"docs/results/{name}/tables/{table}.md").read_text(encoding="utf-8"))


def table_rows(page):
    """The lines of a page's table in Markdown: what stands in the column of a header."""
    header, _, *body = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")
    ]
    return [dict(zip(header, line, strict=True)) for line in body]


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
    tables = [table for table in ("crops", "methods") if len(published(name, table))]
    assert len(tables) == 2 or len(published(name, "audit"))  # of one study the audit's table alone
    for table in tables:
        rows = published(name, table)
        for row, line in zip(rows.itertuples(), printed_rows(name, table), strict=True):
            values = runs[row.method, row.crops]
            assert row.map_percent == pytest.approx(values.mean())
            assert pd.isna(row.map_half_width_percent) == (len(values) < 3)
            assert len(values) < 3 or row.map_half_width_percent == pytest.approx(half_width(values))
            label = "–" if row.crops == "none" else getattr(row, "label", row.crops)  # once the key stood there
            assert (line["Method"], line["Crops"]) == (METHOD_NAMES[row.method], label)
            assert line["mAP (%)"] == mean_and_interval(values), (row.method, row.crops)


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


@pytest.mark.parametrize(("study", "places"), [("voc07", (2, 3, 6, 7)), ("audit", (0, 1, 4, 5))])
def test_what_the_batch_averaged_map_adds_is_that_of_the_published_tables(study, places):
    text = (ROOT / "docs/findings.md").read_text(encoding="utf-8").split("**The batch-averaged mAP", 1)[1]
    said = [float(number.replace("−", "-")) for number in re.findall(r"−?[0-9]+\.[0-9]", text)]
    rows = published(study, "crops")
    added = [rows[f"map_batch_{size}_percent"] - rows["map_percent"] for size in (256, 32)]
    expected = [round(value, 1) for change in added for value in (change.min(), change.max())]
    assert [said[place] for place in places] == expected


ABLATIONS = sorted((ROOT / "docs/results").glob("*/tables/ablation_*.csv"))


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_published_ablations_are_those_of_the_published_runs(path):
    runs = published(path.parts[-3], "runs").query("method == 'moco_v2'").set_index(["crops", "seed"])["map_percent"]
    for row in published(path.parts[-3], path.stem).itertuples():
        values = runs[row.crops]
        assert row.map_percent == pytest.approx(values.mean())
        assert len(values) < 3 or row.map_half_width_percent == pytest.approx(half_width(values))
        if not pd.isna(row.reference) and row.reference != row.crops:
            changes = (values - runs[row.reference]).dropna()
            assert row.difference_points == pytest.approx(changes.mean())
            assert len(changes) < 3 or row.difference_half_width_points == pytest.approx(half_width(changes))


def test_published_gains_by_size_and_number_are_those_of_the_published_runs():
    """Of every row the means, the gain paired by seed and their intervals, in the CSV and as the page prints them."""
    page = ROOT / "docs/results/regimes/regimes.md"
    rows = pd.read_csv(page.with_suffix(".csv"))
    assert len(rows) == 3 * len(study_files.read_study(ROOT / "config/studies/regimes.yaml")["grid"])
    for row, line in zip(rows.itertuples(), table_rows(page.read_text(encoding="utf-8")), strict=True):
        scene, dilate = by_seed(row.scene_runs), by_seed(row.dilate_runs)
        gain = (dilate - scene).dropna()
        assert row.n == len(gain)
        for values, mean, half in (
            (scene, row.scene_percent, row.scene_half_width_percent),
            (dilate, row.dilate_percent, row.dilate_half_width_percent),
            (gain, row.gain_points, row.gain_half_width_points),
        ):
            assert (mean, half) == (pytest.approx(values.mean()), pytest.approx(half_width(values)))
        assert line["scene-scene, mAP (%)"] == mean_and_interval(scene)
        assert line["object-dilate, mAP (%)"] == mean_and_interval(dilate)
        assert line["Gain (points), 95 % interval over seeds"] == signed(mean_and_interval(gain))


def test_what_was_found_quotes_the_published_gains():
    """The rows of kinds of images in docs/findings.md, each with its gains by three kinds of boxes."""
    page = ROOT / "docs/results/regimes/regimes.md"
    table = pd.read_csv(page.with_suffix(".csv"))
    lines = table_rows(page.read_text(encoding="utf-8"))
    kinds = [f"{row.objects:.0f}, {100 * row.side:.0f}" for row in table.itertuples()]
    known = {(kind, line["Boxes"]): line for kind, line in zip(kinds, lines, strict=True)}
    text = (ROOT / "docs/findings.md").read_text(encoding="utf-8")
    rows = table_rows(text[text.index("| objects, side |") :].split("\n\n")[0])
    assert len(rows) > 5
    for row in rows:
        kind = row["objects, side"].split(" %")[0]
        assert row["scene crops, mAP (%)"] == known[kind, "BING"]["scene-scene, mAP (%)"]
        for header, boxes in (("BING boxes", "BING"), ("ground truth", "ground truth"), ("random windows", "random")):
            assert row[header] == known[kind, boxes]["Gain (points), 95 % interval over seeds"], (kind, boxes)


def test_what_was_found_says_where_ground_truth_and_bing_differ():
    """Of every kind of images the difference, paired by seed, from the published mAP of each seed."""
    table = pd.read_csv(ROOT / "docs/results/regimes/regimes.csv").set_index(["study", "boxes"])["dilate_runs"]
    apart = []
    for study in table.index.unique("study"):
        changes = by_seed(table[study, "ground_truth"]) - by_seed(table[study, "bing"])
        if abs(changes.mean()) > half_width(changes):
            apart.append(mean_and_interval(changes))
    text = (ROOT / "docs/findings.md").read_text(encoding="utf-8")
    said = text.split("**Three seeds cannot rank ground-truth boxes", 1)[1].split("Eight seeds")[0]
    numbers = [f"{'-' * (way == 'below')}{size}" for size, way in re.findall(r"(\S+ ± \S+) (above|below)", said)]
    assert numbers == apart
    assert len(apart) == 2, "as the sentence says"


def by_seed(runs):
    """The mAP of each seed out of a cell: 0 31.5, 1 30.9."""
    return pd.Series({int(seed): float(value) for seed, value in (run.split() for run in runs.split(", "))})


def signed(number):
    """A change as a table prints it: a plus or a true minus, and none before 0.0."""
    size = number.removeprefix("-")
    if size.startswith("0.0"):
        return size
    return f"−{size}" if size != number else f"+{number}"


@pytest.mark.parametrize("name", [name for name in PUBLISHED if len(published(name, "audit"))])
def test_published_effects_of_the_audit_are_those_of_the_published_runs(name):
    """Those between variants; runs have no batch-averaged mAP and no epoch but the last."""
    runs = published(name, "runs").query("method == 'moco_v2'").set_index(["crops", "seed"])["map_percent"]
    rows = published(name, "audit")
    between = rows[rows["crops_before"] != rows["crops_after"]]
    assert len(between) > 20
    for row in between.itertuples():
        changes = (runs[row.crops_after] - runs[row.crops_before]).dropna()
        assert (row.n, row.map_points) == (len(changes), pytest.approx(changes.mean()))
        assert row.map_half_width_points == pytest.approx(half_width(changes))
        assert row.map_p == pytest.approx(stats.ttest_1samp(changes, 0).pvalue)
    ordered = rows.dropna(subset="map_p").sort_values("map_p")
    assert ordered["map_p_holm"].tolist() == pytest.approx(holm(ordered["map_p"]))


def test_the_finding_is_one_sentence_in_both_places():
    sentences = [
        " ".join(re.search(r"^\*\*([^*]{100,})\*\*$", (ROOT / name).read_text(encoding="utf-8"), re.M)[1].split())
        for name in ("README.md", "docs/results/README.md")
    ]
    assert sentences[0] == sentences[1]


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
    """Every row of the published table, in the columns that the README has."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = table_rows(text[text.index("| Method | Crops |") :].split("\n\n")[0])
    published_rows = printed_rows("demo", "crops")
    assert {"Method", "Crops", "Boxes", "n", "mAP (%)"} <= set(shown[0])
    assert shown == [{header: row[header] for header in shown[0]} for row in published_rows]
