"""Hooks of MkDocs: pages that lie outside of docs/ or are made from the sources, and links for the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pages
import reference
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the repository's root, those of linked source files, and the reference."""
    texts = {name: (pages.ROOT / name).read_text(encoding="utf-8") for name in pages.ROOT_PAGES}
    for name in pages.ROOT_PAGES:
        _add(files, config, pages.place(name), texts[name])
    for file in files.documentation_pages():
        if file.abs_src_path:
            texts[f"docs/{file.src_uri}"] = Path(file.abs_src_path).read_text(encoding="utf-8")
    for path, text in pages.sources(texts).items():
        _add(files, config, pages.place(path), text)
    for name, text in reference.pages().items():
        _add(files, config, f"reference/{name}", text)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Rewrite the links of what is written for GitHub."""
    uri = page.file.src_uri
    if uri.startswith(("source/", "reference/")):
        return markdown
    of_root = {place: name for name, place in pages.ROOT_PAGES.items()}
    return pages.for_site(of_root.get(uri, f"docs/{uri}"), markdown)


def _add(files: Files, config: Any, uri: str, text: str) -> None:
    files.append(File.generated(config, uri, content=text))
