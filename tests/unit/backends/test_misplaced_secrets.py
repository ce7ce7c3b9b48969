"""A secret in the wrong place of a URL: no error shows it, nor its causes, nor its traceback."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

import stowfast
from stowfast.backends.objects.driver.options import SCHEMES, parse_options
from stowfast.backends.postgres.options import PARAMETERS
from stowfast.registry import find

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRETS = ["wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "correct horse battery staple", "Sup3rS3cret!", "x" * 300]
NEEDED = {"s3": "", "gs": "", "az": "account_name=account"}
NOBODY = "http://127.0.0.1:1"


def places(secret: str) -> Iterator[str]:
    value = quote(secret, safe="")
    for scheme, options in SCHEMES.items():
        more = f"endpoint_url={NOBODY}&timeout=0.1"
        for option in options:
            kept = "&".join(one for one in (more, NEEDED[scheme]) if one and not one.startswith(f"{option}="))
            yield f"{scheme}://bucket/x?{option}={value}&{kept}"
        for start in (
            f"{scheme}://bucket/x?{value}", f"{scheme}://bucket/x?{value}=", f"{scheme}://bucket/x?a={value}",
            f"{scheme}://key:{value}@bucket/x", f"{scheme}://{value}/x", f"{scheme}://bucket/access_key_id={value}",
            f"{scheme}://bucket/account_key={value}", f"{scheme}://bucket/a//{value}",
            f"{scheme}://bucket/x?timeout=1&timeout={value}",
        ):  # fmt: skip
            yield f"{start}{'&' if '?' in start else '?'}{more}"
    for option in ("durability", "timeout", "sweep", "read_only", value):
        yield f"sqlite:///none.db?{option}={value}"
        yield f"memory:?{option}={value}"
    nobody = "127.0.0.1:1"
    for option in (*PARAMETERS, "durability", "pool", "schema", "migrate", "notify", "a", value):
        yield f"postgresql://ada@{nobody}/agents?{option}={value}&timeout=1"
    yield f"postgresql://ada:{value}@{nobody}/agents?timeout=1"
    yield f"postgresql://ada@{nobody}/{value}?timeout=1"
    yield f"postgresql://{value}@{nobody}/agents?timeout=1"
    for rest in (
        f"[{value}", f"u:{value}@[::1", f"u:{value}%zz@{nobody}/x", f"u:{value}%00@{nobody}/x",
        f"u:{value}\ud800@{nobody}/x", f"u:p@{value}@{nobody}/x", f"u:p/{value}@{nobody}/x", f"u:1/{value}@{nobody}/x",
        f"u:{value}/p@{nobody}/x", f"u:p#{value}@{nobody}/x", f"u:p@127.0.0.1:{value}/x", f"u:p@{nobody}:{value}/x",
        f"u:p@127.0.0.1:1:1,h:{value}/x", f"u:p@{nobody},h:{value}/x",
    ):  # fmt: skip
        yield f"postgresql://{rest}?timeout=0"
        yield f"postgresql:{rest}?timeout=0"
    yield f"memory:{value}"
    yield f"{value}:x"
    yield value
    yield f"sqlite://{value}/x"


def told(error: BaseException | None) -> str:
    """All text of an error."""
    seen, text = set[int](), ""
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text += f"{error} {error!r} {error.args} {error.__dict__} {''.join(traceback.format_exception(error))}"
        text += told(error.__context__)  # `from None` hides it, and keeps it
        error = error.__cause__
    return text


@pytest.mark.parametrize("secret", SECRETS)
async def test_no_error_shows_a_misplaced_secret(
    secret: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    refused = 0
    for url in places(secret):
        try:
            async with stowfast.open(url) as stores:
                await stores.messages.add_message("c", {})
        except stowfast.StowfastError as error:
            refused += 1
            text = told(error)
            for shown in (secret, quote(secret, safe=""), secret[:24]):
                assert shown not in text, url
    assert refused > 60


async def test_a_misplaced_secret_is_in_no_keyword_error() -> None:
    for options in ({"timeout": SECRETS[0]}, {"path_style": SECRETS[0]}, {SECRETS[0]: "x"}, {"region": SECRETS[0]}):
        with pytest.raises(stowfast.InvalidError) as caught:
            await stowfast.open("s3://bucket/x", **options)
        assert SECRETS[0] not in told(caught.value)


@pytest.mark.parametrize("scheme", ["s3", "az"])
def test_a_plus_in_an_option_is_a_plus(scheme: str) -> None:
    name = "secret_access_key" if scheme == "s3" else "account_key"
    for written in ("ab+cd/ef==", "ab%2Bcd%2Fef%3D%3D", "ab+cd%2fef=%3d"):
        _, _, given = find(f"{scheme}://bucket/x?{name}={written}")
        assert getattr(parse_options(scheme, given), name) == "ab+cd/ef=="


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("a=1&b=", {"a": "1", "b": ""}),
        ("a", {"a": ""}),
        ("%61=%C3%A9%20x", {"a": "é x"}),
        ("a=b=c", {"a": "b=c"}),
    ],
)
def test_an_option_is_percent_decoded(query: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from stowfast import registry

    monkeypatch.setattr(registry, "_check_options", lambda *_: None)
    assert find(f"memory:?{query}")[2] == options
    with pytest.raises(stowfast.InvalidError, match="write a % as %25"):
        find("memory:?a=%ff")
