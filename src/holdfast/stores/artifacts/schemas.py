"""JSON Schema for data: what is stored under a schema is held to it. Needs the extra `schema`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.errors import InvalidError, UnsupportedError
from holdfast.stores.codec import decode

if TYPE_CHECKING:
    from holdfast.stores.artifacts.content import Content

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
        from jsonschema.validators import validator_for
    except ImportError as error:
        raise UnsupportedError(f"a schema needs jsonschema: pip install 'holdfast[schema]' ({error.name})") from error
    kind = validator_for(schema)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise InvalidError(f"{what}: its schema is no JSON Schema: {error.message}") from error
    found = best_match(kind(schema).iter_errors(decode(content.held, what)))
    if found is not None:
        raise InvalidError(f"{what} does not fit its schema at {found.json_path}: {found.message}")
