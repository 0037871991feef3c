"""The page of a study, as Markdown and as one HTML file that needs no other: both are written from the same blocks.

It opens on what was found; sections follow in the order of a paper. Notes, recipes and commands are folded.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from oac.report import parts
from oac.report.formats import STYLE, Table, folded_html, folded_markdown, html, markdown, opened
from oac.report.style import NOTHING

DRAWING_BYTES = 250_000  # figures without photos have up to 184,000, contact sheets from 386,000 on

_STYLE = (
    STYLE + "body{max-width:64em;margin:0 auto;padding:1em}h1{font-size:1.6em;margin:.2em 0;line-height:1.2}"
    "h2{font-size:1.25em;margin:1.6em 0 .4em;border-top:1px solid #ddd;padding-top:.8em}"
    "h1+p{font-size:1em;color:#444;margin:.3em 0}h2:first-of-type{border:0;margin-top:.6em;padding:0}"
    "nav{font-size:.9em;margin:.6em 0}nav a{margin-right:1em;white-space:nowrap}a{color:#0b5cad}"
    "ul{padding-left:1.2em}li{max-width:none}li:first-child{font-weight:600}"
    # On a phone a figure keeps a width at which its texts can be read, and is pushed aside by itself as a table is.
    "figure{margin:1em 0;break-inside:avoid}"
    "img{max-width:min(100%,48em);min-width:min(42em,var(--width));height:auto;display:block}"
    "figcaption,.caption{font-size:.9em;color:#333;margin:.4em 0;max-width:none}.caption{font-weight:600}"
    "@page{margin:14mm}@media print{body{max-width:none;padding:0;font-size:10px}nav{display:none}"
    "img{min-width:0}div{overflow:visible}th,td{white-space:normal;padding:.2em .4em}"
    "tr,li{break-inside:avoid}h2{break-after:avoid}}"
)


class Block(NamedTuple):
    """A piece of a page, in both formats."""

    markdown: str
    html: str


class Section(NamedTuple):
    """A heading and what stands under it."""

    heading: str
    blocks: list[Block]


def paragraph(text: str) -> Block:
    """One paragraph of plain text."""
    return Block(text, f"<p>{escape(text)}</p>")


def bullets(sentences: Sequence[str]) -> Block:
    """A list of sentences of plain text; none is an empty block."""
    items = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return Block("\n".join(f"- {sentence}" for sentence in sentences), f"<ul>\n{items}\n</ul>" if sentences else "")


def folded(summary: str, block: Block) -> Block:
    """A block that a click unfolds."""
    return Block(folded_markdown(summary, block.markdown), folded_html(summary, block.html))


def made_table(made: Table) -> Block:
    """A table that is in no file of its own."""
    return _table(markdown(made), html(made))


def table(path: Path) -> Block:
    """A table that `formats.write` wrote; path: its Markdown, beside which its HTML lies."""
    return _table(*(path.with_suffix(suffix).read_text(encoding="utf-8") for suffix in (".md", ".html")))


def _table(text: str, page: str) -> Block:
    caption, body = opened(page)
    return Block(text.strip(), f'<section><p class="caption">{caption}</p>\n{body}</section>')


def figure(path: Path, page: Path) -> Block:
    """A figure of `style.save`, whose title is its finding, and how to read it; path: its PNG; page: the Markdown.

    A figure with a label says by it how it is read; other figures say what `parts` has.
    """
    with Image.open(path) as image:
        finding, comment = (" ".join(str(image.info.get(key, "")).split()) for key in ("Title", "Comment"))
        width, height = image.size
        source = base64.b64encode(_web_picture(image)).decode()
    if comment == NOTHING:
        return paragraph(finding)
    part = parts.figure(path.stem)
    alt, reading = finding or part.label, comment or part.reading
    shown = (
        f'<figure><div><img src="data:image/webp;base64,{source}" alt="{escape(alt)}" style="--width:{width}px"'
        f' width="{width}" height="{height}"></div><figcaption>{escape(reading)}</figcaption></figure>'
    )
    plain = alt.replace("[", "(").replace("]", ")")
    return Block(f"![{plain}]({path.relative_to(page.parent).as_posix()})\n\n{reading}", shown)


def _web_picture(image: Image.Image) -> bytes:
    """A figure as WebP: what is drawn exactly, at half of a PNG's size; photos, of which that is large, nearly so."""
    exact, near = io.BytesIO(), io.BytesIO()
    image.save(exact, "WEBP", lossless=True)
    if exact.tell() <= DRAWING_BYTES:
        return exact.getvalue()
    image.save(near, "WEBP", quality=90)
    return near.getvalue()


def sections(
    front: Sequence[Block],
    data: Sequence[Block],
    tables: Sequence[Path],
    figures: Sequence[Path],
    page: Path,
    main: str = "",
) -> list[Section]:
    """Put what a study has into the sections of `parts`, figures before tables; empty sections are left out.

    front: blocks that open the page; data: what is to be said of the photos; tables: Markdown files; figures: PNGs;
    main: name of the table that the page opens with.
    """
    first = {parts.FOUND: list(front), parts.DATA: list(data)}
    found = []
    for heading in parts.SECTIONS:
        blocks = list(first.get(heading, []))
        blocks += [figure(path, page) for path in figures if parts.figure(path.stem, main).section == heading]
        for path in tables:
            part = parts.table(path.stem, main)
            if part.section == heading:
                blocks.append(folded(part.label, table(path)) if part.folded else table(path))
        if blocks:
            found.append(Section(heading, blocks))
    return found


def markdown_page(title: str, description: str, content: Sequence[Section]) -> str:
    """The page in Markdown."""
    lines = [f"# {title}", description]
    for heading, blocks in content:
        lines += [f"## {heading}", *(block.markdown for block in blocks if block.markdown)]
    return "\n\n".join(lines) + "\n"


def html_page(title: str, description: str, content: Sequence[Section], provenance: str) -> str:
    """The page as HTML. provenance: the address of Snakemake's own report, which `make report` puts beside it."""
    links = [f'<a href="#{_anchor(section.heading)}">{escape(section.heading)}</a>' for section in content[1:]]
    links.append(f'<a href="{provenance}">Rules, run times and graph (Snakemake)</a>')
    shown = [
        f'<h2 id="{_anchor(heading)}">{escape(heading)}</h2>\n' + "\n".join(block.html for block in blocks)
        for heading, blocks in content
    ]
    shown.insert(1, f"<nav>{' '.join(links)}</nav>")
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n<p>{escape(description)}</p>\n"
        + "\n".join(shown)
        + "\n</body>\n</html>\n"
    )


def _anchor(heading: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in heading.lower())
