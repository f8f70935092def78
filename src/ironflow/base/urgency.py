"""What a request is about, for the order in which a busy database gets to it."""

from contextvars import ContextVar
from typing import Literal

# new: work that is only requested. under_way: a claim of, or a report about, work that has begun. background: what the
# server does by itself.
Urgency = Literal["new", "under_way", "background"]

# Set by dispatch for each call; tasks that a call starts inherit it.
urgency: ContextVar[Urgency] = ContextVar("urgency", default="background")
