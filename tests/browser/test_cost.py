"""The calculator of docs/operations/cost.md: its script gives the dollars of the page's Python function."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.suites.s3.published import DOLLARS_PER_MILLION, PRICES_OF

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAGE = (Path(__file__).parents[2] / "docs" / "operations" / "cost.md").read_text(encoding="utf-8")
LABELS = {
    "messages": "^messages a month",
    "together": "^messages of one commit",
    "loads": "^loads",
    "saves": "^saves",
    "gigabytes": "^gigabytes",
}
MONTHS = [
    {},
    {"messages": 1_000_000},
    {"messages": 3_000_000, "loads": 300_000, "saves": 500_000, "gigabytes": 10},
    {"messages": 50_000_000, "together": 8, "loads": 7},
]


def python() -> dict[str, Any]:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found: dict[str, Any] = {}
    exec(compile(block, "cost.md", "exec"), found)
    return found


def test_the_prices_are_those_of_the_bench() -> None:
    found = python()
    assert f"S3 Standard, us-east-1, {PRICES_OF}" in PAGE
    assert (found["PUT"] * 1e6, found["GET"] * 1e6) == (DOLLARS_PER_MILLION["PUT"], DOLLARS_PER_MILLION["GET"])


@pytest.mark.parametrize("month", MONTHS, ids=str)
def test_the_form_says_what_the_function_returns(month: dict[str, int], browser: Browser) -> None:
    page = browser.new_page()
    page.set_content(PAGE[PAGE.index("<form") : PAGE.index("</script>") + len("</script>")])
    given = {"messages": 0, "together": 1, "loads": 0, "saves": 0, "gigabytes": 0, **month}
    for name, value in given.items():
        page.get_by_label(re.compile(LABELS[name])).fill(str(value))
    dollars = python()["dollars_a_month"](**given)
    assert page.locator("output").inner_text() == f"${dollars:.2f} a month"
    page.close()
