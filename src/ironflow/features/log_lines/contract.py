"""What a worker reports of the lines of its handler's logger. All of it is ours."""

from datetime import datetime
from typing import Annotated

from ironflow.base.fields import Message, field
from ironflow.base.json import Json


class ReportedLine(Message, kw_only=True):
    """A line as a worker reports it. number: its place in the execution, from 0. data: a JSON object, or absent.

    level: debug, info, warn or error; anything else counts as info. step_id: of the step whose body wrote it.
    truncated: the worker has cut the text or left the data out.
    """

    number: Annotated[int, field(ge=0, lt=2**53)]
    message: str
    level: str = "info"
    at: datetime | None = None
    data: Json | None = None
    step_id: str = ""
    truncated: bool = False
