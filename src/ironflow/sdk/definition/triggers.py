"""What starts a function's runs: event names or patterns, with an expression, and times.

Source: protocol/worker-rest.md 3. A trigger has either an event or a cron expression.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ironflow.base.cron import InvalidCron, check_cron
from ironflow.base.errors import InvalidArgument
from ironflow.base.overlap import InvalidOverlap, check_overlap
from ironflow.features.functions.contract import InvalidFunction, Trigger
from ironflow.sdk.definition.controls import check
from ironflow.sdk.values.definitions import EventDefinition
from ironflow.sdk.values.event_names import check_matchable

_KEYS = ("event", "expression", "cron", "timezone", "tz", "overlap")

Names = str | EventDefinition | Sequence[str | EventDefinition]


def triggers_of(
    on: Names | None,
    cron: Names | None,
    tz: str,
    when: str,
    triggers: Sequence[Mapping[str, Any] | Trigger] | None,
    overlap: str = "",
) -> list[Trigger]:
    """The triggers that `@function` describes, in short form, as dicts, or both.

    Without any, the function runs only when it is invoked. Raises InvalidFunction.
    """
    events, crons = _several(on), _several(cron)
    check(not when or bool(events), "when= is an expression over an event; there is no on=.")
    check(not tz or bool(crons), "tz= is the time zone of cron=; there is no cron=.")
    check(not overlap or bool(crons), "overlap= says what a tick of cron= does; there is no cron=.")
    found = [Trigger(event=event, expression=when) for event in events]
    # `all` is what a server does that knows no overlap.
    found += [Trigger(cron=each, timezone=tz, overlap="" if overlap == "all" else overlap) for each in crons]
    found += [each if isinstance(each, Trigger) else _trigger(each) for each in triggers or ()]
    for place, trigger in enumerate(found):
        _check_trigger(trigger, place)
    return found


def _several(given: Names | None) -> list[str]:
    if given is None:
        return []
    several = [given] if isinstance(given, str | EventDefinition) else list(given)
    names = [each.name if isinstance(each, EventDefinition) else each for each in several]
    for name in names:
        sound = isinstance(name, str) and name.strip() != ""
        check(sound, f"a trigger is {name!r}; write an event name or a cron expression.")
    return [name.strip() for name in names]


def _trigger(given: Mapping[str, Any]) -> Trigger:
    unknown = sorted(given.keys() - set(_KEYS))
    check(not unknown, f"a trigger has no {', '.join(unknown)}; it has event, expression, cron, tz and overlap.")
    texts = {key: value for key, value in given.items() if value is not None}
    for key, value in texts.items():
        check(isinstance(value, str), f"a trigger's {key} is {value!r}; write text.")
    return Trigger(
        event=texts.get("event", "").strip(),
        expression=texts.get("expression", ""),
        cron=texts.get("cron", "").strip(),
        timezone=texts.get("timezone") or texts.get("tz", ""),
        overlap=texts.get("overlap", ""),
    )


def _check_trigger(trigger: Trigger, place: int) -> None:
    which = f"trigger {place}"
    check(bool(trigger.event or trigger.cron), f"{which} has neither an event nor a cron expression.")
    check(not (trigger.event and trigger.cron), f"{which} has an event and a cron expression; make it two triggers.")
    try:
        check_overlap(trigger.overlap)
    except InvalidOverlap as fault:
        raise InvalidFunction(f"{which}: {fault}") from fault
    check(not trigger.overlap or bool(trigger.cron), f"{which} has an overlap and no cron expression.")
    if trigger.event:
        try:
            check_matchable(trigger.event)
        except InvalidArgument as fault:
            raise InvalidFunction(f"{which}: {fault}") from fault
        return
    check(not trigger.expression, f"{which} has an expression but no event; nothing could be asked of a time.")
    try:
        check_cron(trigger.cron, trigger.timezone)
    except InvalidCron as fault:
        raise InvalidFunction(f"{which}: {fault}") from fault
