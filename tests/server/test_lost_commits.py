"""What clients are answered when it is unknown whether a write was made."""

import asyncio
from typing import Any

import pytest

from ironflow.base.call import Call
from ironflow.base.fields import Message
from ironflow.base.operation import operation
from ironflow.base.time import FixedClock
from ironflow.base.urgency import urgency
from ironflow.dispatch import Dispatch, anonymous
from ironflow.storage.port import OutcomeUnknown, StorageFailed
from ironflow.transports.rest import error_response


class Nothing(Message, kw_only=True):
    """No fields."""


new = operation("test.new", Nothing, Nothing, rest="POST /new", scope="public", doc="New work.")
report = operation(
    "test.report", Nothing, Nothing, rest="POST /report", scope="public", doc="A report.", under_way=True
)


async def fails(call: Call, request: Nothing) -> Nothing:
    raise OutcomeUnknown


async def answer(operation: Any, handler: Any) -> Any:
    dispatch = Dispatch(anonymous(FixedClock()))
    dispatch.bind({operation: handler})
    return await dispatch(operation, Call("default", 0), Nothing())


async def test_a_write_whose_outcome_is_unknown_is_no_5xx():
    with pytest.raises(OutcomeUnknown) as raised:
        await answer(new, fails)
    response = error_response(raised.value)
    assert response.status == 409
    assert b'"code":"aborted","reason":"OUTCOME_UNKNOWN"' in response.body
    assert b"retryable" not in response.body


async def test_a_report_whose_outcome_is_unknown_is_sent_again():
    with pytest.raises(StorageFailed, match="Send it again") as raised:
        await answer(report, fails)
    assert (raised.value.status, raised.value.retryable) == (503, True)


async def test_claims_and_reports_are_work_under_way_and_everything_else_is_new():
    seen: list[str] = []

    async def notes(call: Call, request: Nothing) -> Nothing:
        seen.append(urgency.get())
        return request

    for each in (new, report):
        await asyncio.create_task(answer(each, notes))
    assert seen == ["new", "under_way"]
    assert urgency.get() == "background"
