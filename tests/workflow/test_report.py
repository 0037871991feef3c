"""The report of a study as a reader's browser shows it, on a desk and on a phone; and Snakemake's own beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from . import browser

pytestmark = pytest.mark.skipif(
    browser.installed() is None, reason="no Chromium or Chrome is installed (Debian: apt-get install chromium)"
)

SHOW = "app.setView({{content: 'html', contentPath: results['{path}'].data_uri, resultPath: '{path}'}})"
# What is shown is drawn in a later turn of the browser's loop.
SETTLED = "new Promise(done => setTimeout(done, 300))"
WIDTHS = {"desk": 1280, "phone": 390}
HEIGHT = 800
RUNS = [
    "moco_v2/scene-scene/seed0",
    "moco_v2/object-dilate/seed0",
    "supervised/scene-scene/seed0",
    "random_init/none/seed0",
]


@pytest.fixture(scope="module", params=WIDTHS)
def window(request, tmp_path_factory):
    """A browser, started once for each width."""
    with browser.Browser(tmp_path_factory.mktemp("browser"), WIDTHS[request.param], HEIGHT) as window:
        yield window


@pytest.fixture
def page(window, finished):
    """The report, opened anew."""
    window.open("about:blank")  # ends what the last test left running
    window.complaints.clear()
    window.open((finished.folder / "results/tiny/report.html").as_uri())
    return window


def box(page, selector, number=0):
    """Left, right, top and bottom of an element in the window."""
    return page.run(
        f"(() => {{ const box = document.querySelectorAll('{selector}')[{number}].getBoundingClientRect();"
        " return [box.left, box.right, box.top, box.bottom] })()"
    )


def test_the_first_screen_says_what_was_found(page, finished):
    verdicts = (finished.folder / "results/tiny/report/verdicts.md").read_text(encoding="utf-8").splitlines()
    shown = page.run("[...document.querySelectorAll('li')].map(item => item.innerText)")
    assert [f"- {verdict}" for verdict in shown] == verdicts
    left, right, top, bottom = box(page, "li")
    assert 0 <= left < right <= page.run("innerWidth")
    assert 0 <= top < bottom < HEIGHT
    assert box(page, "img")[2] < HEIGHT, "the main figure begins on it"
    assert "mAP" in page.run("document.querySelector('img').alt")
    first = page.run("document.querySelector('table').compareDocumentPosition(document.querySelectorAll('img')[0])")
    assert first == 2, "the main table follows the main figure"
    assert page.complaints == []


def test_the_browser_hears_of_errors(page):
    """Against a test that cannot fail."""
    page.run("setTimeout(() => { throw new Error('thrown') }); console.error('told'); " + SETTLED)
    assert [word in str(page.complaints) for word in ("thrown", "told")] == [True, True]


def test_the_page_is_as_wide_as_its_window_and_has_every_figure_and_table(page, finished):
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    figures = {path.name for path in (finished.folder / "results/tiny/report/figures").glob("*.png")}
    tables = {path.name for path in (finished.folder / "results/tiny/report/tables").glob("*.html")}
    assert page.run("document.querySelectorAll('img').length") == len(figures)
    assert page.run("document.querySelectorAll('table').length") == len(tables)
    for number in range(len(figures)):
        natural = page.run(
            f"(async () => {{ const image = document.querySelectorAll('img')[{number}]; await image.decode();"
            " return image.naturalWidth })()"
        )
        left, right, *_ = box(page, "img", number)
        assert natural > 300
        assert right - left >= min(600, natural), "its texts can be read"
        left, right, *_ = box(page, "figure div", number)
        assert 0 <= left < right <= page.run("innerWidth"), "what is wider is pushed aside by itself"


def test_a_run_unfolds_to_its_command_and_its_recipe(page, finished):
    """From a row to what made it, by the clicks that a reader makes; and the page stays as wide as its window."""
    assert page.run("[...document.querySelectorAll('pre')].every(part => !part.checkVisibility())")
    page.run(
        "document.querySelectorAll('details').forEach(part => part.querySelector('summary').click()); " + SETTLED
    )
    commands = page.run(
        "[...document.querySelectorAll('details details pre')].filter((part, number) => number % 2 == 0)"
        ".map(part => part.getBoundingClientRect().height > 0 ? part.innerText.trim() : null)"
    )
    assert commands == [f"snakemake results/tiny/probe/{run}/metrics.json" for run in RUNS], (
        "every variant has one seed"
    )
    recipes = page.run(
        "[...document.querySelectorAll('details details pre')].filter((part, number) => number % 2)"
        ".map(part => part.innerText)"
    )
    for run, recipe in zip(RUNS, recipes, strict=True):
        metrics = json.loads((finished.folder / f"results/tiny/probe/{run}/metrics.json").read_text())
        assert json.loads(recipe) == metrics["recipe"]
        assert metrics["recipe_hash"] in page.run("document.body.innerText")
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    assert page.complaints == []


@pytest.fixture(scope="module")
def provenance(finished, tmp_path_factory) -> Path:
    """Snakemake's own report of the tiny study, as `make report` writes it."""
    file = tmp_path_factory.mktemp("report") / "provenance.html"
    style = finished.repo / "workflow/report/phone.css"
    result = finished.run("--report", str(file), "--report-stylesheet", str(style), "report")
    assert result.code == 0, result.text
    return file


def test_snakemakes_own_report_shows_every_part_without_a_complaint(window, provenance, finished):
    window.open("about:blank")
    window.complaints.clear()
    window.open(provenance.as_uri())
    paths = window.run("Object.keys(results)")
    shown = {Path(path).name for path in paths}
    made = [
        *(finished.folder / "results/tiny/report").rglob("*.png"),
        *(finished.folder / "results/tiny").rglob("*.html"),
    ]
    assert {path.name for path in made} - {"report.html"} == shown
    for path in (path for path in paths if path.endswith(".html")):
        window.run(SHOW.format(path=path))
        window.run(SETTLED)
    for view in ("menu", "category", "reportinfo"):
        window.run(f"app.setView({{navbarMode: '{view}', category: Object.keys(categories)[0]}})")
        window.run(SETTLED)
    assert window.complaints == []
