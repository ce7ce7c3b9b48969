"""The code on the page fits the adapter and the framework."""

from __future__ import annotations

from tests.frameworks.pages import check_page


def test_the_names_and_calls_on_the_page_are_right() -> None:
    assert check_page("mcp") > 0
