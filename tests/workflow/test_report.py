"""The HTML report as a reader's browser shows it, on a desk and on a phone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by path
import browser

pytestmark = pytest.mark.skipif(
    browser.installed() is None, reason="no Chromium or Chrome is installed (Debian: apt-get install chromium)"
)

SHOW = "app.setView({{content: '{kind}', contentPath: results['{path}'].data_uri, resultPath: '{path}'}})"
# What is shown is drawn in a later turn of the browser's loop.
SETTLED = "new Promise(done => setTimeout(done, 300))"
WIDTHS = {"desk": 1280, "phone": 390}
RUNS = [
    "moco_v2/scene-scene/seed0",
    "moco_v2/object-dilate/seed0",
    "supervised/scene-scene/seed0",
    "random_init/none/seed0",
]


@pytest.fixture(scope="module")
def report(finished, tmp_path_factory) -> Path:
    """The report of the tiny study, as `make report` writes it."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    style = finished.repo / "workflow/report/phone.css"
    result = finished.run("--report", str(file), "--report-stylesheet", str(style), "report")
    assert result.code == 0, result.text
    return file


@pytest.fixture(scope="module", params=WIDTHS)
def window(request, tmp_path_factory):
    """A browser, started once for each width."""
    with browser.Browser(tmp_path_factory.mktemp("browser"), WIDTHS[request.param], 800) as window:
        yield window


@pytest.fixture
def page(window, report):
    """The report, opened anew."""
    window.open("about:blank")  # ends what the last test left running
    window.complaints.clear()
    window.open(report.as_uri())
    return window


def paths(page: browser.Browser, kind: str) -> list[str]:
    """The results of a kind, such as image/png."""
    result = page.run(f"Object.keys(results).filter(path => results[path].mime_type == '{kind}')")
    assert result
    return result


def test_nothing_is_complained_of(page):
    for path in paths(page, "text/html"):
        page.run(SHOW.format(kind="html", path=path))
        page.run(SETTLED)
    for view in ("menu", "category", "reportinfo"):
        page.run(f"app.setView({{navbarMode: '{view}', category: Object.keys(categories)[0]}})")
        page.run(SETTLED)
    page.run("app.setView({content: 'stats'})")
    page.run(SETTLED)
    assert page.complaints == []


def test_the_browser_hears_of_errors(page):
    """Against a test that cannot fail."""
    page.run("setTimeout(() => { throw new Error('thrown') }); console.error('told'); " + SETTLED)
    assert [word in str(page.complaints) for word in ("thrown", "told")] == [True, True]


def test_every_figure_is_an_image_that_is_shown(page, finished):
    figures = {path.name for path in (finished.folder / "results/tiny/report/figures").glob("*.png")}
    images = paths(page, "image/png")
    assert {Path(path).name for path in images} == figures
    for path in images:
        page.run(SHOW.format(kind="img", path=path))
        page.run(SETTLED)
        shown = page.run(
            "(async () => { const image = document.querySelector('#app img[src=\"' + app.state.contentPath + '\"]');"
            " await image.decode(); const box = image.getBoundingClientRect();"
            " return [image.naturalWidth, box.left, box.right, box.width, innerWidth] })()"
        )
        natural, left, right, width, window = shown
        assert natural > 300, path
        assert left >= 0, path
        # Not squeezed: a phone has nearly its whole width for a figure.
        assert right <= window, path
        assert width >= min(0.85 * window, natural) * (0.6 if window > 600 else 1), path


@pytest.mark.parametrize("name", ["crops", "methods", "overlap", "pairs", "paper", "runs", "verdicts"])
def test_every_table_is_there_and_can_be_read(page, finished, name):
    (path,) = (path for path in paths(page, "text/html") if Path(path).stem == name)
    page.run(SHOW.format(kind="html", path=path))
    page.run(SETTLED)
    left, right, top, bottom, window = page.run(
        "(() => { const box = document.querySelector('#app iframe').getBoundingClientRect();"
        " return [box.left, box.right, box.top, Math.min(box.bottom, innerHeight), innerWidth] })()"
    )
    assert 0 <= left < right <= window
    assert right - left >= 0.6 * window
    assert bottom - top >= 300
    # A frame of a data address cannot be looked into, so the same page is opened by itself.
    source = page.run(f"results['{path}'].data_uri")
    page.open(source)
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    if name == "verdicts":
        assert page.run("document.querySelectorAll('li').length") > 0
        return
    rows = page.run("document.querySelectorAll('tbody tr').length")
    markdown = (finished.folder / f"results/tiny/report/tables/{name}.md").read_text(encoding="utf-8").splitlines()
    assert rows == sum(line.startswith("|") for line in markdown) - 2 > 0


def test_a_run_unfolds_to_its_command_and_its_recipe(page, finished):
    """From a row to what made it, by the click that a reader makes; and the page stays as wide as its window."""
    (path,) = (path for path in paths(page, "text/html") if Path(path).stem == "runs")
    page.open(page.run(f"results['{path}'].data_uri"))
    assert page.run("document.querySelectorAll('tbody tr').length") == len(RUNS)
    assert page.run("document.querySelectorAll('details').length") == len(RUNS), "every variant has one seed here"
    for place, run in enumerate(RUNS):
        page.run(f"document.querySelectorAll('details summary')[{place}].click(); " + SETTLED)
        texts = page.run(
            f"[...document.querySelectorAll('details')[{place}].querySelectorAll('summary, pre')]"
            ".map(part => part.getBoundingClientRect().height > 0 ? part.innerText : null)"
        )
        metrics = json.loads((finished.folder / f"results/tiny/probe/{run}/metrics.json").read_text())
        summary, command, recipe = texts
        assert metrics["recipe_hash"] in summary
        assert command.strip() == f"snakemake results/tiny/probe/{run}/metrics.json"
        assert json.loads(recipe) == metrics["recipe"]
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    assert page.complaints == []


def test_the_menu_leads_to_the_results(page):
    """By clicks alone, as a reader gets there: the results, those of the runs, one of them."""
    clicked = (
        "(() => {{ const links = [...document.querySelectorAll('#app nav {}')]"
        ".filter(link => link.innerText.trim() == '{}'); links.at(-1).{}click() }})(); " + SETTLED
    )
    page.run(clicked.format("a", "Results", ""))
    assert page.run("document.querySelector('#app nav').innerText.includes('Training')")
    page.run(clicked.format("a", "Results", ""))
    page.run(clicked.format("tr", "Verdicts", "querySelector('a')."))
    assert page.run("app.state.content") == "html"
    assert page.run(
        "document.querySelector('#app iframe').src == results['results/tiny/report/verdicts.html'].data_uri"
    )
    assert page.complaints == []
