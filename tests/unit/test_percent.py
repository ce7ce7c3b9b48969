"""The %XX of URLs and paths are those of Python's urllib and pathlib, for any text."""

from __future__ import annotations

import os
from pathlib import Path
from urllib import parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowfast import percent
from stowfast.backends.sqlite import opening

TEXTS = st.text(st.sampled_from("%%%0123456789aFgé+ /\udc80"))


@given(TEXTS, st.sampled_from(["replace", "surrogateescape"]))
def test_text_is_decoded_as_by_urllib(text: str, errors: str) -> None:
    assert percent.unquote(text, errors) == parse.unquote(text, errors=errors)


@given(st.binary().map(lambda data: data.replace(b"\0", b"%4")))
def test_bytes_are_decoded_as_by_urllib(data: bytes) -> None:
    assert percent.unquote_to_bytes(data) == parse.unquote_to_bytes(data)


@pytest.mark.skipif(os.name == "nt", reason="its paths have drives; runs on any other system")
@given(st.text(st.sampled_from("/aZ09._-~ %?#:é\udc80")).map(os.path.abspath))
def test_a_path_becomes_the_uri_that_pathlib_makes(path: str) -> None:
    assert opening.uri(path, "mode=ro") == f"{Path(path).as_uri()}?mode=ro"
