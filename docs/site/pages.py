"""Where the files of the repository stand in the site, and links between them.

Pages are written for GitHub: their links are paths in the repository. docs/ is the site's root; a file elsewhere that
a page links to becomes a page under source/, so that the site needs no address of the repository. No MkDocs here.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Pages that lie outside of docs/.
ROOT_PAGES = {"README.md": "index.md", "CHANGELOG.md": "CHANGELOG.md", "CONTRIBUTING.md": "CONTRIBUTING.md"}
LANGUAGES = {".py": "python", ".smk": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".cff": "yaml"}

_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_FENCED = re.compile(r"^(```.*?^```[^\S\n]*$)", re.MULTILINE | re.DOTALL)


def is_linked_path(link: str) -> bool:
    """Whether a link names a path, not an address."""
    return re.match(r"[a-z]+:", link) is None


def links(text: str) -> list[str]:
    """The paths that a page links to, without anchors; code blocks have none."""
    prose = _FENCED.split(text)[::2]
    return [link for part in prose for _, link, _ in _LINK.findall(part) if is_linked_path(link)]


def place(path: str) -> str:
    """The page of the site for a path in the repository: its source file relative to the site's root."""
    if path in ROOT_PAGES:
        return ROOT_PAGES[path]
    if (ROOT / path).is_dir():
        return posixpath.join("source", path, "index.md")
    if path.startswith("docs/") and not path.endswith(".py"):
        return path.removeprefix("docs/")
    return f"source/{path}.md"


def target(page: str, link: str) -> str:
    """The path in the repository that a link on a page, itself a path in it, leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def for_site(page: str, text: str) -> str:
    """Rewrite the links of a page for the site; what leads nowhere stays as it is, and the strict build names it."""
    here = posixpath.dirname(place(page))

    def moved(match: re.Match[str]) -> str:
        opening, link, rest = match.groups()
        path = target(page, link)
        if not is_linked_path(link) or path.startswith("..") or not (ROOT / path).exists():
            return match[0]
        return opening + posixpath.relpath(place(path), here or ".") + rest

    parts = _FENCED.split(text)
    parts[::2] = [_LINK.sub(moved, part) for part in parts[::2]]
    return "".join(parts)


def sources(pages: dict[str, str]) -> dict[str, str]:
    """The files and folders that pages (path: text) link to, those in such folders too: path to their page's text."""
    todo = {target(page, link) for page, text in pages.items() for link in links(text)}
    made: dict[str, str] = {}
    while todo:
        path = todo.pop()
        if not place(path).startswith("source/") or path in made or not (ROOT / path).exists():
            continue
        if (ROOT / path).is_dir():
            names = _listed(ROOT / path)
            made[path] = _folder_page(path, names)
            todo |= {posixpath.join(path, name) for name in names}
        else:
            made[path] = _file_page(path)
    return made


def _listed(folder: Path) -> list[str]:
    """The names in a folder that belong to the repository."""
    hidden = re.compile(r"\.|__pycache__$|.*\.egg-info$")
    return sorted(entry.name for entry in folder.iterdir() if not hidden.match(entry.name))


def _head(path: str) -> str:
    # Left out of the search, which would find every word there first.
    return f"---\nsearch: {{exclude: true}}\n---\n# {path}\n\n"


def _folder_page(path: str, names: list[str]) -> str:
    rows = [
        f"- [{name}]({posixpath.relpath(place(posixpath.join(path, name)), posixpath.dirname(place(path)))})\n"
        for name in names
    ]
    return _head(path) + "".join(rows)


def _file_page(path: str) -> str:
    content = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return "---\nsearch: {exclude: true}\n---\n" + for_site(path, content)
    language = "python" if Path(path).name == "Snakefile" else LANGUAGES.get(Path(path).suffix, "text")
    return f"{_head(path)}``````{language}\n{content.rstrip()}\n``````\n"
