"""One schema of PostgreSQL under two spellings of its URL is one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import InvalidError, moving

if TYPE_CHECKING:
    from tests.services.postgres import PostgresServer


def spellings(url: str) -> list[str]:
    """Return URLs of the same schema: another host, another order, an option, another case, a given default."""
    address, _, query = url.partition("?")
    other = address.replace("127.0.0.1", "localhost")
    assert other != address
    options = query.split("&")
    return [
        f"{other}?{query}",
        f"{address}?pool=2&{'&'.join(reversed(options))}",
        f"{address}?{query}&application_name=another",
        f"PostgreSQL{url.removeprefix('postgresql')}",
    ]


async def test_two_spellings_of_a_schema_are_one_place(postgres_server: PostgresServer) -> None:
    url = postgres_server.url()
    async with stowfast.open(url) as stores:
        await stores.messages.add_message("c", {"n": 1})
        await stores.within("a").messages.add_message("c", {"n": 2})
        for other in spellings(url):
            with pytest.raises(InvalidError, match="one place"):
                await moving.copy(url, other)
            with pytest.raises(InvalidError, match="one place"):
                await moving.copy(other, stores)
            with pytest.raises(InvalidError, match="one place"):
                await moving.move(url, other)
            # Into a scope of it: its own streams are left out, so it is copied once and ends.
            assert (await moving.copy(other, url, into="kept")).complete
        assert [message["n"] for message in await stores.messages.get_messages("c")] == [1]
        assert await stores.within("kept").messages.info("c") is not None
        assert (await moving.verify(stores)).kinds == {"messages": 4}


async def test_two_schemas_of_one_database_are_two_places(postgres_server: PostgresServer) -> None:
    one, two = postgres_server.url(), postgres_server.url()
    async with stowfast.open(one) as stores:
        await stores.messages.add_message("c", {"n": 1})
    assert (await moving.copy(one, two)).streams == 1
    assert (await moving.verify(one)).digest == (await moving.verify(two)).digest


async def test_a_bucket_or_a_file_is_no_place_of_postgres(postgres_server: PostgresServer) -> None:
    url = postgres_server.url()
    async with stowfast.open("memory:") as stores, stowfast.open(url) as others:
        await others.messages.add_message("c", {"n": 1})
        assert (await moving.copy(url, stores)).streams == 1
