"""A hook of the docs site: Markdown of the site knows one word behind a fence, and ours may say `no-run`, too."""

from __future__ import annotations

import re
from typing import Any, Final

_MARKED: Final = re.compile(r"^( *```+\w+) no-run *$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page without the marks of the docs' own tests."""
    return _MARKED.sub(r"\1", markdown)
