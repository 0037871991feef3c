"""The page of a study: what stands in which section."""

from __future__ import annotations

from html import escape

import pytest

from oac.report.formats import Column, Table, write
from oac.report.page import figure, markdown_page, paragraph, sections
from oac.report.parts import FIGURES, FOUND, RESULTS
from oac.report.style import one_panel, save


@pytest.mark.parametrize(("main", "other"), [("crops", "methods"), ("methods", "crops")])
def test_the_page_opens_with_the_main_table(tmp_path, main, other):
    for name in (main, other):
        write(Table([{"name": name}], [Column("Name", "name")], f"Table of {name}"), tmp_path / name)
    tables = [tmp_path / f"{name}.md" for name in ("crops", "methods")]
    content = sections([paragraph("Verdict")], [], tables, [], tmp_path / "summary.md", main)
    assert [section.heading for section in content] == [FOUND, RESULTS]
    page = markdown_page("Title", "Description", content)
    assert page.index("Verdict") < page.index(f"Table of {main}") < page.index(f"Table of {other}")


@pytest.mark.parametrize(("name", "label"), [("recall", ""), ("crops_mine", "mine (BING boxes): δ of 10 %.")])
def test_the_text_below_a_figure_is_its_own_or_that_of_its_kind(tmp_path, name, label):
    drawn, axes = one_panel(2.0)
    axes.set_title("Finding", loc="left")
    drawn.set_label(label)
    save(drawn, tmp_path / name)
    block = figure(tmp_path / f"{name}.png", tmp_path / "summary.md")
    reading = label or FIGURES[name].reading
    assert reading in block.markdown
    assert f"<figcaption>{escape(reading)}</figcaption>" in block.html
    assert f"![Finding]({name}.png)" in block.markdown
