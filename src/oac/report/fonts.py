"""Fonts for names in any script: matplotlib's own has neither Chinese, Japanese and Korean nor most of India's."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib import font_manager

OWN = "DejaVu Sans"  # comes with matplotlib
# Families of Linux distributions, macOS and Windows, asked in this order for what DejaVu Sans lacks.
FURTHER = (
    *(f"Noto Sans CJK {region}" for region in ("SC", "JP", "TC", "KR")),
    *("Noto Sans SC", "Noto Sans JP", "Noto Sans TC", "Noto Sans KR"),
    *("Source Han Sans SC", "Source Han Sans", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback"),
    *("IPAexGothic", "NanumGothic", "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo"),
    *("Microsoft YaHei", "SimHei", "Yu Gothic", "MS Gothic", "Malgun Gothic", "Arial Unicode MS", "Unifont"),
    *(f"Noto Sans {script}" for script in ("Devanagari", "Bengali", "Tamil", "Telugu", "Thai", "Ethiopic", "Khmer")),
    *("Nirmala UI", "Leelawadee UI", "Noto Emoji"),
)


def families() -> list[str]:
    """The families that a character is looked for in, those of this machine; the first is matplotlib's own."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [OWN, *(name for name in FURTHER if name in installed)]


def undrawable(names: Iterable[str]) -> list[str]:
    """The names that hold a character of none of these families, each once."""
    known: set[int] = set()
    for family in families():
        known |= font_manager.get_font(font_manager.findfont(family)).get_charmap().keys()
    # Spaces and line breaks are not drawn.
    return [name for name in dict.fromkeys(names) if {ord(sign) for sign in name if not sign.isspace()} - known]
