"""JSON Schema of a Python type: structs, dataclasses, TypedDicts and pydantic models, also within each other."""

from typing import Any

import msgspec

from ironflow.base.errors import ValidationError

_REF = "#/$defs/{name}"
_PYDANTIC_REF = "#/$defs/{model}"


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON Schema (2020-12) of data that can be read as `kind`. Raises ValidationError for a type that has none.

    Other members are allowed unless the type forbids them, so that a newer producer breaks no older schema.
    """
    found: dict[str, dict[str, Any]] = {}

    def hook(inner: Any) -> dict[str, Any]:
        # A model within a struct: its own definitions move to the top, where its references look for them.
        schema = _of_model(inner)
        if schema is None:
            raise NotImplementedError
        for name, each in schema.pop("$defs", {}).items():
            if found.setdefault(name, each) != each:
                raise ValidationError(f"two types within {_name(kind)} are called {name!r}. Rename one of them.")
        return schema

    whole = _of_model(kind)
    if whole is not None:
        return whole
    try:
        (schema,), definitions = msgspec.json.schema_components([kind], schema_hook=hook, ref_template=_REF)
    except (TypeError, NotImplementedError, NameError) as fault:
        raise ValidationError(f"{_name(kind)} has no JSON Schema: {fault}") from fault
    for name, each in definitions.items():
        if found.setdefault(name, each) != each:
            raise ValidationError(f"two types within {_name(kind)} are called {name!r}. Rename one of them.")
    return {**schema, "$defs": found} if found else dict(schema)


def _of_model(kind: Any) -> dict[str, Any] | None:
    """The schema of a pydantic model, without importing pydantic; None for other types."""
    model_schema = getattr(kind, "model_json_schema", None)
    return None if model_schema is None else dict(model_schema(ref_template=_PYDANTIC_REF))


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)
