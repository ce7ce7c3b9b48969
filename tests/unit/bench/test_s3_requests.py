"""The requests of the frameworks' work on S3, as the docs show them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.frameworks import results
from tests.frameworks.s3_requests import COLUMNS, Counted, table
from tests.frameworks.s3_work import TURNS, Bucket, turns
from tests.frameworks.suites import MODULES, Framework

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SAVED = Counted("One", "save", "Stowfast", Counter(PUT=3, POST=1, GET=10, HEAD=5, LIST=2, DELETE=9), 1_500, 0)


def test_a_row_has_the_requests_by_kind_and_their_price() -> None:
    # 4 and 2 at $5 a million, 15 at $0.40.
    assert SAVED.row() == "| save | Stowfast | 4 | 15 | 2 | 9 | 1.5 kB | - | 36.00 |"


def test_the_stores_of_a_step_stand_below_each_other() -> None:
    theirs = SAVED._replace(store="theirs")
    found = [SAVED, SAVED._replace(step="load"), theirs, theirs._replace(step="load", kinds=None)]
    rows = [line.split(" | ") for line in table(found).splitlines() if line.startswith(("| save", "| load"))]
    assert [row[:2] for row in rows] == [
        [f"| {step}", store] for step in ("save", "load") for store in ("Stowfast", "theirs")
    ]
    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert rows[-1][2] == "has no call for it"


def test_a_table_is_written_in_its_place_and_leaves_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "index.md"
    page.write_text(results.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(results, "PAGE", page)
    suites = page.read_text(encoding="utf-8").partition(results.BEGIN_REQUESTS)[0]
    for _ in range(2):
        results.write([], [SAVED])
        assert page.read_text(encoding="utf-8").startswith(suites)
        assert page.read_text(encoding="utf-8").count(SAVED.row()) == 1
    assert page.read_text(encoding="utf-8").rstrip().endswith(results.END_REQUESTS)


def test_the_tables_of_other_frameworks_stay() -> None:
    other = SAVED._replace(framework="Other", step="other")
    both = table([other, SAVED])
    assert table([other], table([SAVED])) == table([SAVED], table([other])) == both
    assert table([other, SAVED._replace(received=7_000)], both).count("### ") == 2


def test_the_docs_have_a_row_for_each_step_and_store() -> None:
    page = results.PAGE.read_text(encoding="utf-8")
    works = [work for name in MODULES for work in Framework.load(name).on_s3]
    assert works
    for work in works:
        for step in work.steps.values():
            for store in work.stores.values():
                assert f"| {step} | {store} |" in page, "run python -m tests.frameworks --only requests --write"


def test_the_turns_are_questions_with_answers_and_no_two_alike() -> None:
    found = turns(TURNS + 1)
    assert len({question for question, _ in found}) == len(found)
    assert all(question and answer for question, answer in found)


def test_a_bucket_behind_the_proxy_has_a_url() -> None:
    url = Bucket("http://127.0.0.1:1", "bucket", "prefix").url
    assert url == "s3://bucket/prefix?endpoint_url=http%3A%2F%2F127.0.0.1%3A1"
