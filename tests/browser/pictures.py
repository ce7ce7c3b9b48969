"""Make the pictures of the docs: `python -m tests.browser.pictures`."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import stowfast
from tests.browser.filled import fill_plain
from tests.services import chromium
from tests.unit.view.viewer import served

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "images"
DATA = Path(os.environ.get("STOWFAST_DATA", ROOT.parent / "shared" / "data")) / "airline-conversations.jsonl"

SCENE = """() => {
    const before = call => call.closest(".message").previousElementSibling?.previousElementSibling;
    const high = call => call.getBoundingClientRect().top - before(call)?.getBoundingClientRect().top;
    const calls = [...document.querySelectorAll("details.call:has(.answer)")].filter(call => high(call) < 400);
    const one = calls.find(call => call.lastElementChild.textContent !== "(empty)" && call.textContent.length < 400);
    one.open = true;
    before(one).scrollIntoView();
}"""
"""Open a call with a short result, below the two short messages before it."""


def main() -> None:
    airline = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, chromium.launched() as browser:
        url = f"sqlite:///{folder}/agent.db"
        with stowfast.sync.open(url) as stores:
            fill_plain(stores, airline)
        with served(url) as address:
            page = browser.new_context(viewport={"width": 1000, "height": 640}).new_page()
            base = address.partition("/?")[0]
            page.goto(address)
            page.add_init_script(
                "addEventListener('DOMContentLoaded', () => document.querySelector('.address').textContent = 'sqlite:///agent.db')"
            )
            for name, path in (
                ("conversation", f"/conversation?id={airline[0]['context_id']}"),
                ("task", "/task?id=booking"),
            ):
                page.goto(base + path)
                if name == "conversation":
                    page.evaluate(SCENE)
                page.screenshot(path=PICTURES / f"view-{name}.png")


if __name__ == "__main__":
    main()
