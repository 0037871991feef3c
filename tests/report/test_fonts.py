"""Names in scripts that matplotlib's own font lacks."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from oac.report import fonts
from oac.report.fonts import OWN, families, undrawable
from oac.report.notes import undrawn_names
from oac.report.style import one_panel, save, styled


@pytest.fixture
def only_own(monkeypatch):
    """A machine that has matplotlib's font alone."""
    own = [font for font in font_manager.fontManager.ttflist if font.name == OWN]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    font_manager.fontManager._findfont_cached.cache_clear()
    yield
    font_manager.fontManager._findfont_cached.cache_clear()


@pytest.fixture
def with_cat(only_own, tmp_path):
    """The same with a font whose only character, a triangle, stands for a cat."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    pen.lineTo((500, 700))
    pen.lineTo((900, 0))
    pen.closePath()
    glyph, empty = pen.glyph(), TTGlyphPen(None).glyph()
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", "cat"])
    builder.setupCharacterMap({ord("猫"): "cat"})
    builder.setupGlyf({".notdef": empty, "cat": glyph})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "cat": (1000, 100)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Noto Sans CJK JP", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path = tmp_path / "cat.ttf"
    builder.save(path)
    font_manager.fontManager.addfont(path)


def drawn(text, stem):
    """Save a figure with a text; the messages of glyphs that are missing."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with styled():
            figure, axes = one_panel(2.0)
            axes.set_title(text)
            save(figure, stem)
    return [str(warning.message) for warning in caught if "missing from" in str(warning.message)]


def test_a_name_is_drawn_with_an_installed_font_that_has_it(with_cat, tmp_path):
    assert families() == [OWN, "Noto Sans CJK JP"]
    assert undrawable(["cat", "猫", "猫 cat", "犬"]) == ["犬"]
    assert drawn("猫 cat", tmp_path / "cat") == []
    assert (tmp_path / "cat.pdf").stat().st_size > 0


def test_without_such_a_font_the_name_is_a_square_and_named(only_own, tmp_path):
    assert families() == [OWN]
    assert undrawable(["猫", "cat", "chat été", "кот", "猫"]) == ["猫"]
    assert drawn("猫", tmp_path / "cat")


def test_matplotlibs_own_font_stays_the_first(only_own, monkeypatch, tmp_path):
    """Figures without such names are the same to the byte, whatever fonts a machine has."""
    drawn("cat", tmp_path / "a")
    monkeypatch.setattr(fonts, "FURTHER", ("cmr10", *fonts.FURTHER))
    cmr = font_manager.FontManager().ttflist
    monkeypatch.setattr(font_manager.fontManager, "ttflist", cmr)
    assert families()[:2] == [OWN, "cmr10"]
    drawn("cat", tmp_path / "b")
    assert np.array_equal((tmp_path / "a.png").read_bytes(), (tmp_path / "b.png").read_bytes())


@pytest.mark.parametrize(("count", "more"), [(1, None), (10, None), (12, "2 more")])
def test_the_page_names_them(count, more):
    text = undrawn_names([f"猫{number}" for number in range(count)])
    assert "猫0" in text
    assert ("more" in text) == (more is not None)
    assert more is None or more in text


def test_the_page_says_nothing_where_all_can_be_drawn():
    assert undrawn_names([]) is None
