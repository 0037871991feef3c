"""The page of a study: what stands in which section."""

from __future__ import annotations

import base64
import io
import re
from html import escape

import numpy as np
import pytest
from PIL import Image

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


def embedded(block):
    """The picture in a block of the HTML page."""
    return Image.open(io.BytesIO(base64.b64decode(re.search(r"data:image/webp;base64,([^\"]+)", block.html)[1])))


def test_a_drawing_is_in_the_page_as_it_is_and_photos_nearly(tmp_path):
    drawn, axes = one_panel(2.0)
    axes.plot([0, 1], [0, 1])
    save(drawn, tmp_path / "recall")
    found = embedded(figure(tmp_path / "recall.png", tmp_path / "summary.md"))
    with Image.open(tmp_path / "recall.png") as image:
        assert np.array_equal(np.asarray(found.convert("RGBA")), np.asarray(image.convert("RGBA")))
    drawn, axes = one_panel(5.0)
    smooth = np.cumsum(np.random.default_rng(0).normal(size=(900, 900, 3)), axis=1)  # lossless this is large
    axes.imshow((smooth - smooth.min()) / np.ptp(smooth))
    save(drawn, tmp_path / "crops_mine")
    block = figure(tmp_path / "crops_mine.png", tmp_path / "summary.md")
    with Image.open(tmp_path / "crops_mine.png") as image:
        apart = np.abs(np.asarray(embedded(block).convert("RGB"), float) - np.asarray(image.convert("RGB"), float))
    assert 0 < apart.mean() < 4
    assert len(block.html) < 0.7 * (tmp_path / "crops_mine.png").stat().st_size
