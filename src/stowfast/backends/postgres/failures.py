"""Errors of the PostgreSQL driver as errors of ours.

Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import DamagedError, InvalidError, StowfastError, UnavailableError

if TYPE_CHECKING:
    import psycopg
    from psycopg.abc import PQGen

__all__ = [
    "NOT_PRIMARY",
    "UnansweredError",
    "is_locked",
    "is_read_only",
    "is_retryable",
    "is_unknown",
    "ours",
    "swallowed",
]

_ROLLED_BACK: Final = {"40001", "40P01", "57P05", "25P03"}
"""The server rolled back for another transaction, or ended a connection that was idle: repeat."""
_LOCKED: Final = "55P03"
_LOST: Final = {"57P01", "57P02", "57P03", "40003"}
_RIGHTS: Final = {"42501"}
_READ_ONLY: Final = "25006"
_DAMAGES: Final = ("XX001", "XX002", "23505")
"""The last one: there is a row with a number not given yet."""
_SWALLOWED: Final = "22012"
"""A statement of ours counts the rows, and divides by zero if some are missing."""
_LIMITS: Final = ("22", "54")
_MISSING: Final = {"3F000", "42P01", "42703"}
_ACCESS: Final = {"28000", "28P01", "3D000"}
_REFUSALS: Final = (
    ("server does not support SSL", "turn on TLS there (ssl = on), or set sslmode=disable where the network is safe"),
    ("channel binding", "channel_binding=require needs TLS and a password by scram-sha-256: set sslmode=require"),
    ("does not match host name", "connect by a name of its certificate, or renew the certificate for this one"),
    (
        "certificate verify failed",
        "give the file of the CA that signed its certificate as sslrootcert=, or renew its certificate: it may be over",
    ),
    ("root certificate file", "give the file of the CA that signed the server's certificate as sslrootcert="),
    ("certificate", "see sslmode=, sslrootcert=, sslcert= and sslkey= in the URL"),
    ("no encryption", "it may take connections with TLS alone: set sslmode=require or verify-full"),
    ("pg_hba.conf", "see the lines of pg_hba.conf on the server"),
    ("authentication failed", "see the role and the password in the URL"),
    ("does not exist", "see the database and the role in the URL"),
    ("invalid connection option", "see the options in the URL"),
)
"""Parts of the text in English, as a refused connection has no code in libpq, each with its remedy. The first holds."""
NOT_PRIMARY: Final = (
    "the server is read-only, not the primary: connect to the primary; with several hosts in the URL set "
    "target_session_attrs=read-write"
)


class UnansweredError(Exception):
    """A brief call has no answer yet."""

    def __init__(self, call: PQGen[Any]) -> None:
        super().__init__("no answer yet")
        self.call = call
        """The rest of the call, for the connection's `wait`, under its `lock`."""


def is_retryable(error: psycopg.Error) -> bool:
    """Return True if nothing was done, and a repeat of the transaction may succeed."""
    return error.sqlstate in _ROLLED_BACK or is_locked(error)


def is_locked(error: psycopg.Error) -> bool:
    """Return True if nothing was done, because of a lock of another session."""
    return error.sqlstate == _LOCKED


def is_read_only(error: psycopg.Error) -> bool:
    """Return True if nothing was done, as this server is not the primary, or not any more."""
    return error.sqlstate == _READ_ONLY


def is_unknown(error: psycopg.Error) -> bool:
    """Return True if a commit that ended with this error may have been made: the connection ended."""
    from psycopg import DataError

    state = error.sqlstate
    if state is None:
        return not isinstance(error, DataError)  # the driver refused a value, and sent nothing
    return state.startswith("08") or state in _LOST


def swallowed() -> DamagedError:
    """Return the error of a call with fewer rows written than sent."""
    return DamagedError(
        "nothing was stored: the server took fewer rows than it was sent: a table of ours has a trigger that is not "
        "ours: find it in pg_trigger, and drop it"
    )


def ours(error: psycopg.Error) -> StowfastError:
    """Return the error for one of the driver. Its text holds no password: the driver never shows one."""
    state, told = error.sqlstate, str(error).strip()
    said = told.partition("\n")[0]
    if state in _RIGHTS and "row-level security" in said:
        return InvalidError(
            f"a policy of row-level security refused the row: {said}: use the scope that the policy gives to this role"
        )
    if state in _RIGHTS:
        return InvalidError(f"the role lacks a right: {said}: see the grants of `stowfast migrate URL --sql`")
    if state is None and "session is read-only" in told:  # of one of the hosts: the others are away
        return UnavailableError(NOT_PRIMARY)
    if state is None:
        said = " ".join(told.split())  # one line for each host
    remedy = next((remedy for part, remedy in _REFUSALS if part in said), None)
    if state in _ACCESS or (state is None and remedy is not None):
        return InvalidError(
            f"the server refused the connection: {said}: {remedy or 'see the role and the database in the URL'}"
        )
    if state == _SWALLOWED:
        return swallowed()
    if state in _MISSING:
        return DamagedError(f"a table of ours is missing: {said}: restore the schema from a backup")
    if state in _DAMAGES:
        return DamagedError(f"the server found damage: {said}: restore the schema from a backup")
    if state is not None and state.startswith(_LIMITS):
        return InvalidError(f"the server cannot hold this value: {said}")
    if state == _READ_ONLY:
        return UnavailableError(NOT_PRIMARY)
    if state == _LOCKED:
        return UnavailableError(
            f"nothing was stored: another session holds a lock: {said}: the view pg_stat_activity names it, such as "
            "one `idle in transaction`, and pg_blocking_pids(pid) the blocker of a waiting one; pg_terminate_backend "
            "ends it"
        )
    if state == "57014":
        return UnavailableError(f"the server ended the call: {said}: see statement_timeout of the role")
    return UnavailableError(f"the server gave no answer, or refused: {said}")
