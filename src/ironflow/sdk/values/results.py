"""The return value of a step call: the same when its body has just run and when it is replayed.

That is the value read back from the recorded JSON; a body annotated to return a struct, dataclass or model gets one.
The output of a function that another invokes is read likewise.
"""

import inspect
from collections.abc import Callable
from functools import partial
from types import CodeType
from typing import Any

from ironflow.base.errors import ValidationError
from ironflow.sdk.user_code.signature import resolved
from ironflow.sdk.values.payload import Raw, Read, as_recorded, from_payload, is_modelled, reader_of

# Bounded by the program's text: one entry for each function body.
_readers: dict[CodeType, Read] = {}


def result_reader(fn: Callable[..., Any]) -> Read:
    """How the recorded output of `fn` is read: as the class its return annotation names, else as plain values."""
    while isinstance(fn, partial):
        fn = fn.func
    annotation = getattr(fn, "__annotations__", {}).get("return")
    # All that a decorator wraps have its code; what it wraps has its own.
    inner = inspect.unwrap(fn) if hasattr(fn, "__wrapped__") else fn
    code = getattr(inner, "__code__", None)
    if annotation is None or code is None:
        return from_payload
    read = _readers.get(code)
    if read is None:
        read = _readers[code] = _reader(annotation, fn)
    return read


def _reader(annotation: Any, fn: Callable[..., Any]) -> Read:
    try:
        kind = resolved(annotation, fn)
        return reader_of(kind) if is_modelled(kind) else from_payload
    except (NameError, TypeError, ValidationError):
        # An annotation that only the type checker can follow is ignored here.
        return from_payload


def result_of(value: Any, payload: Raw, fn: Callable[..., Any]) -> Any:
    """What the call of a body that just returned `value`, recorded as `payload`, gives back."""
    read = result_reader(fn)
    return as_recorded(value, payload) if read is from_payload else read(payload)
