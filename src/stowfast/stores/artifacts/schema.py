"""JSON Schema for data artifacts: every version must match. Needs the extra `schema`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stowfast.errors import InvalidError, UnsupportedError
from stowfast.stores.codec import decode

if TYPE_CHECKING:
    from stowfast.stores.artifacts.writing.content import Content

__all__ = ["check_schema"]


def check_schema(schema: Any, content: Content, what: str) -> None:
    """Hold data to its JSON Schema. Content of another kind has none.

    Raises:
        InvalidError: the value does not fit, with the path to where; or the schema is none, or content is no data.
        UnsupportedError: jsonschema is not installed.
    """
    if schema is None or content.encoding == "rows":
        return
    if content.encoding != "json" or content.held is None:
        raise InvalidError(f"{what} has a schema, which is for data: give a JSON value")
    try:
        from jsonschema.exceptions import SchemaError, best_match
        from jsonschema.validators import Draft202012Validator, validator_for
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import EMPTY_REGISTRY
    except ImportError as error:
        raise UnsupportedError(f"a schema needs jsonschema: pip install 'stowfast[schema]' ({error.name})") from error
    if not isinstance(schema, dict):
        raise InvalidError(f"{what}: its schema must be a dict, not {type(schema).__name__}")
    try:
        kind = validator_for(schema, default=Draft202012Validator)
        kind.check_schema(schema)
        # A registry that fetches nothing: no schema makes this process ask a server.
        found = best_match(kind(schema, registry=EMPTY_REGISTRY).iter_errors(decode(content.held, what)))
    except SchemaError as error:
        raise InvalidError(f"{what}: its schema is no JSON Schema: {error.message}") from error
    except Unresolvable as error:
        raise InvalidError(f"{what}: its schema refers to {error.ref!r}, which is not in it") from error
    except (RecursionError, TypeError, AttributeError) as error:
        raise InvalidError(f"{what}: its schema cannot be followed: {error}") from error
    if found is not None:
        raise InvalidError(f"{what} does not fit its schema at {found.json_path}: {found.message}")
