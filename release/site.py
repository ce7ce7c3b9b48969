"""The hooks of the docs site: pages in the order of the links in each index, and fences without marks of the tests."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any, Final

from mkdocs.utils import nest_paths

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import File, Files

_MARKED: Final = re.compile(r"^( *```+\w+) no-run *$", re.MULTILINE)
_TITLES: Final = {"Design": "How it works"}
_LINK: Final = re.compile(r"\]\(([\w/.-]+\.md)")


def in_order(pages: Iterable[File]) -> list[File]:
    """Return the pages as a reader meets them: each folder in the order of the links in its `index.md`.

    So no page is named a second time for the navigation. Pages without a link come last, in the order of their names.
    """
    pages = list(pages)
    rank: dict[str, int] = {}
    for index in (page for page in pages if page.name == "index"):
        folder = posixpath.dirname(index.src_uri)
        for target in ("index.md", *_LINK.findall(index.content_string)):
            path = posixpath.normpath(posixpath.join(folder, target))
            section, name = posixpath.split(path)
            if section == folder:
                rank.setdefault(path, len(rank))
            elif name == "index.md" and posixpath.dirname(section) == folder:
                rank.setdefault(section, len(rank))

    def key(page: File) -> list[tuple[int, str]]:
        parts = page.src_uri.split("/")
        paths = ("/".join(parts[: i + 1]) for i in range(len(parts)))
        return [(rank.get(path, len(rank)), path) for path in paths]

    return sorted(pages, key=key)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Let mkdocs make the navigation of the pages in order."""
    nav = nest_paths(page.src_uri for page in in_order(files.documentation_pages()))
    config.nav = [_titled(one) for one in nav]
    return files


def _titled(one: Any) -> Any:
    """Return an entry of the navigation under the title for readers, where the name of its folder is another."""
    return {_TITLES.get(title, title): pages for title, pages in one.items()} if isinstance(one, dict) else one


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page without the marks of the docs' own tests."""
    return _MARKED.sub(r"\1", markdown)
