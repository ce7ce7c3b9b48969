"""The URL of a PostgreSQL database: options of ours, and parameters of the driver."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stowfast.errors import InvalidError
from stowfast.names import is_one_of, number_of, truth_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PARAMETERS", "PostgresOptions", "check_schema", "parse_address", "parse_options", "without_values"]

PARAMETERS: Final = (
    "application_name", "channel_binding", "connect_timeout", "gssencmode", "hostaddr", "keepalives",
    "keepalives_count", "keepalives_idle", "keepalives_interval", "load_balance_hosts", "passfile", "require_auth",
    "service", "sslcert", "sslcrl", "sslkey", "sslmode", "sslrootcert", "target_session_attrs", "tcp_user_timeout",
)  # fmt: skip
"""Parameters of libpq, https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"""

_CHOICES: Final = {
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
_NUMBERS: Final = ("connect_timeout", "keepalives", "tcp_user_timeout")

_SHOWN_BY_THE_DRIVER: Final = {
    "hostaddr", "passfile", "require_auth", "service", "sslcert", "sslcrl", "sslkey", "sslrootcert",
}  # fmt: skip
_SHORTEST_SECRET: Final = 6
"""Characters. A shorter text would be found inside of other words."""

_PORTS: Final = re.compile(r"[0-9,]*", re.ASCII)

_MAX_SCHEMA_BYTES: Final = 63
"""PostgreSQL cuts longer names without a word: two tenants would meet in one schema."""


class PostgresOptions(NamedTuple):
    """The options, checked."""

    schema: str
    durable: bool
    timeout: float
    pool: int
    migrate: bool
    notify: bool
    parameters: dict[str, str]


def parse_address(url: str) -> dict[str, Any]:
    """Return the parts of a connection URI.

    Raises:
        InvalidError: it cannot be read. The error shows nothing of it, and has no context.
    """
    import psycopg

    try:
        given: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(url)
    except (psycopg.Error, ValueError):
        given = {"port": "unknown"}  # raised below: the driver's error repeats parts of the URL
    # With a bare / or @ in a password, a part of it is taken for the port, the host or the database.
    if "@" in f"{given.get('host')}{given.get('dbname')}" or not _PORTS.fullmatch(given.get("port", "")):
        raise InvalidError(
            "the URL is postgresql://user:password@host:port/database; in a password : is %3A, / is %2F, @ is %40 and "
            "% is %25"
        )
    return given


def parse_options(
    schema: str, *, durability: str, timeout: str | float, pool: str | int, migrate: str | bool, notify: str | bool,
    parameters: Mapping[str, object],
) -> PostgresOptions:  # fmt: skip
    """Check options.

    Raises:
        InvalidError: one of them is unknown or outside its bounds.
    """
    if unknown := sorted(set(parameters) - set(PARAMETERS)):
        raise InvalidError(f"postgresql: has no option {', '.join(unknown)}; it has {', '.join(PARAMETERS)}")
    check_schema(schema)
    if not is_one_of(durability, ("full", "relaxed")):
        raise InvalidError("durability: it is full or relaxed")
    seconds, connections = number_of(timeout), number_of(pool)
    if not 0 <= seconds < math.inf or not 1 <= connections < math.inf or connections % 1:
        raise InvalidError("timeout: it is 0 or more seconds; pool: it is 1 or more connections")
    migrates, notifies = truth_of(migrate), truth_of(notify)
    for name, answer in (("migrate", migrates), ("notify", notifies)):
        if answer is None:
            raise InvalidError(f"{name}: it is true or false")
    texts: dict[str, str] = {}
    for name, value in parameters.items():  # the driver's error would show the value
        if type(value) is not str and not (type(value) is int and 0 <= value < 2**62):
            raise InvalidError(f"{name}: it is a text or a whole number")
        text = texts[name] = str(value)
        if name in _CHOICES and text not in _CHOICES[name]:
            raise InvalidError(f"{name}: it is one of {', '.join(_CHOICES[name])}")
        if name.startswith(_NUMBERS) and not (text.isascii() and text.isdecimal()):
            raise InvalidError(f"{name}: it is a whole number")
    return PostgresOptions(
        schema, durability == "full", seconds, int(connections), bool(migrates), bool(notifies), texts
    )


def without_values(text: str, parameters: Mapping[str, str]) -> str:
    """Return the text of an error without the values of options: one may be a secret in the wrong place."""
    for name in _SHOWN_BY_THE_DRIVER & parameters.keys():
        if len(parameters[name]) >= _SHORTEST_SECRET:
            text = text.replace(parameters[name], "...")
    return text


def check_schema(schema: str) -> None:
    """Refuse a name that no schema can have, or that PostgreSQL would cut.

    Raises:
        InvalidError: it is empty, holds a NUL, or is longer than 63 bytes.
    """
    if type(schema) is not str or not schema or "\0" in schema:
        raise InvalidError("schema: it is a name of 1 to 63 bytes")
    if len(schema.encode(errors="replace")) > _MAX_SCHEMA_BYTES:
        raise InvalidError(f"schema: PostgreSQL cuts names over {_MAX_SCHEMA_BYTES} bytes: give a shorter one")
