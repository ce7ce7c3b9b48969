"""Tokens of conversations: the state that a change was made for, as one opaque text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from stowfast.abc import Head

__all__ = ["conditions_of", "token_of"]


def token_of(head: Head) -> str:
    """Return the token of a head. Any change of the conversation gives it another one."""
    return f"{head.incarnation}:{head.next}:{head.revision}"


def conditions_of(token: object) -> dict[str, Any]:
    """Return the conditions of a `Change` that hold for the state of a token alone; none for None.

    Raises:
        InvalidError: it is no token.
    """
    if token is None:
        return {}
    incarnation, _, numbers = token.partition(":") if isinstance(token, str) else ("", "", "")
    following, _, revision = numbers.partition(":")
    # At most 19 digits: what a backend can count to, and no work for a text of millions.
    if not incarnation or not all(one.isascii() and one.isdigit() and len(one) < 20 for one in (following, revision)):
        raise InvalidError("if_token is not a token: give info(...).token")
    return {"incarnation": incarnation, "expect": int(following), "revision": int(revision)}
