"""The viewer on a conversation of 100,000 messages: the first paint in a real browser, and the memory of its server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import stowfast.sync
from bench.harness.bars import Bar, Spread
from bench.harness.peers import new_folder
from bench.harness.table import machine, print_bars
from bench.suites.conversations import conversation
from tests.services import chromium
from tests.unit.view.viewer import serving

if TYPE_CHECKING:
    from argparse import Namespace

    from playwright.sync_api import Browser

    from bench.harness.rounds import Say

__all__ = ["run"]

MESSAGES: Final = 100_000
TOGETHER: Final = 1_000
PAINT_SECONDS: Final = 1.0
RESIDENT_MIB: Final = 150
PAINT: Final = "() => performance.getEntriesByName('first-contentful-paint')[0]"


def run(options: Namespace, say: Say) -> tuple[list[Bar], dict[str, Any]]:
    """Fill a file with one conversation, and open its page as often as there are rounds."""
    most = MESSAGES // 10 if options.quick else MESSAGES
    with new_folder() as folder:
        url = f"sqlite:///{folder}/agent.db"
        with stowfast.sync.open(url) as stores:
            messages = conversation(TOGETHER)
            for _ in range(most // TOGETHER):
                stores.messages.add_messages("c", messages)
        say(f"{most:,} messages")
        with chromium.launched() as browser, serving(url) as (address, process):
            seconds = [_first_paint(browser, address) for _ in range(options.rounds)]
            resident = _resident(process)
    figures = {"messages": most, "first paint": seconds, "resident MiB": resident}
    bars = [
        Bar.at_most(f"first paint of {most:,} messages", PAINT_SECONDS, " s", Spread.of(seconds)),
        Bar.at_most("memory of the server", RESIDENT_MIB, " MiB", Spread.of(resident)),
    ]
    print(f"\n{machine()}\n")
    print_bars("Bars", bars)
    return bars, figures


def _first_paint(browser: Browser, address: str) -> float:
    """Return the seconds from the click to the first paint, in a context without a cache."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(address)
    page.goto(address.partition("/?")[0] + "/conversation?id=c")
    page.wait_for_function(f"{PAINT} !== undefined")
    seconds: float = page.evaluate(f"{PAINT}.startTime / 1000")
    context.close()
    return seconds


def _resident(process: int) -> list[float]:
    """Return the most memory that a process had, on Linux."""
    path = Path(f"/proc/{process}/status")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
