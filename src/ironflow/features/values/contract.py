"""What can be asked of the values of runs. Source: docs/guides/run-values.md."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import InvalidArgument, NotFound, PayloadTooLarge
from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.features.runs.contract import RunNotFound

WAIT_MS_MAX = 60_000


class ValueNotFound(NotFound):
    """The run has set no value of that name."""

    code = "VALUE_NOT_FOUND"


class InvalidRunValue(InvalidArgument):
    """A value is named by 1 to 128 characters without `/`, and a request sets at most 100 of them."""

    code = "INVALID_RUN_VALUE"


class RunValueTooLarge(PayloadTooLarge):
    """A value has up to 64 KiB."""

    code = "RUN_VALUE_TOO_LARGE"


class SetValue(Message, kw_only=True):
    """A value that the handler has set (ours).

    number: from 1, the same in every replay; of several calls that set one name, the one with the highest wins.
    """

    name: str
    value: Json
    number: Annotated[int, field(ge=1)]


class GetValue(Message, kw_only=True):
    """run_id: or `function:key`. wait_ms: how long to wait for a value newer than `after`; 0 answers at once.

    after: the version of the value that the caller has; 0 for none.
    """

    run_id: str
    name: str
    wait_ms: Annotated[int, field(ge=0, le=WAIT_MS_MAX)] = 0
    after: Annotated[int, field(ge=0)] = 0


class Value(Message, kw_only=True):
    """version: rises with each change of the value within its run. run_ended: it changes no more."""

    run_id: str
    name: str
    value: Json
    version: int
    updated_at: datetime
    run_ended: bool = False


class ListValues(Message, kw_only=True):
    """cursor: the name of the last one seen. limit: all that a handler may set are 100."""

    run_id: str
    limit: Annotated[int, field(ge=1, le=100)] = 100
    cursor: str = ""


class Values(Message, kw_only=True):
    run_id: str
    values: list[Value]
    next_cursor: str | None = None


get = operation(
    "values.get", GetValue, Value,
    rest="GET /api/v1/runs/{run_id}/values/{name}", scope="runs:read", holds=True,
    errors=(RunNotFound, ValueNotFound),
    doc="A value that a run has set; with `wait_ms`, held until there is one that the caller does not have.",
)  # fmt: skip
list_ = operation(
    "values.list", ListValues, Values,
    rest="GET /api/v1/runs/{run_id}/values", scope="runs:read", errors=(RunNotFound,),
    doc="All values that a run has set, by name.",
)  # fmt: skip
