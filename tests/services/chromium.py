"""Debian's Chromium, driven by Playwright. As root on Debian or Ubuntu it is installed; in CI it must be there.

To install it before the tests begin: `python -m tests.services.chromium`.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.services.postgres import can_install, install
from tests.services.process import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

PACKAGES = ("chromium", "fonts-dejavu-core")
NEEDED = f"Chromium is not installed; on Debian or Ubuntu: apt-get install {' '.join(PACKAGES)}"
PROGRAM = "/usr/bin/chromium"
# Without the last ones it asks servers on the internet as it starts.
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP evil.example 127.0.0.1",  # as a name server of an attacker answers
)


def missing() -> str | None:
    """Return the reason why this machine has no browser; None if it has one or can get one."""
    if shutil.which("chromium") or can_install():
        return None
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        raise ServiceError(NEEDED)
    return NEEDED


@contextmanager
def launched() -> Iterator[Browser]:
    """Start a browser of its own, and end it."""
    from playwright.sync_api import sync_playwright

    get()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=list(OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


def get() -> None:
    """Install the browser and its font."""
    install("fonts-dejavu-core", "/usr/share/fonts/truetype/dejavu")
    install("chromium", PROGRAM)


if __name__ == "__main__" and missing() is None:
    get()
