"""What a GET of an endpoint shows: which functions it serves."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import msgspec
from msgspec import UNSET

from ironflow.base.spelling import message_to_json
from ironflow.base.version import VERSION
from ironflow.features.discovery.contract import Landing, LandingFunction
from ironflow.features.functions.contract import ExecutionMode
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.projections.definition import ProjectionDefinition


def landing_json(
    functions: Iterable[FunctionDefinition],
    projections: Sequence[ProjectionDefinition],
    webhooks: list[str],
    with_settings: bool,
) -> bytes:
    listed = [
        LandingFunction(
            id=each.id,
            triggers=_triggers(each),
            registration=msgspec.Raw(message_to_json(push_registration(each, ""))) if with_settings else UNSET,
        )
        for each in functions
    ]
    return msgspec.json.encode(Landing(VERSION, listed, [each.name for each in projections], webhooks))


def push_registration(function: FunctionDefinition, url: str) -> Any:
    """The message that registers the function at an endpoint of ours."""
    settings = function.registration(ExecutionMode.PUSH)
    return msgspec.structs.replace(
        settings,
        preferred_mode=ExecutionMode.PUSH,
        endpoint_url=url,
        push_checkpoints=True,
    )


def landing_page(functions: Iterable[FunctionDefinition], webhooks: list[str]) -> str:
    """The landing page for people."""
    rows = "".join(
        f"<tr><td><code>{escape(each.id)}</code></td><td>{escape(_triggers_text(each))}</td></tr>" for each in functions
    )
    hooks = f"<p>Webhooks: {escape(', '.join(webhooks))}</p>" if webhooks else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Ironflow endpoint</title>'
        "<style>body{font:16px system-ui;margin:3rem auto;max-width:40rem;padding:0 1rem}"
        "td{padding:.2rem 2rem .2rem 0}</style></head>"
        f"<body><h1>Ironflow endpoint</h1><p>This address serves these functions:</p><table>{rows}</table>{hooks}"
        "<p>Register them with <code>ironflow register</code> and this address.</p></body></html>"
    )


def _triggers_text(function: FunctionDefinition) -> str:
    return ", ".join(_triggers(function)) or "invoke only"


def _triggers(function: FunctionDefinition) -> list[str]:
    return [each.event or f"cron {each.cron}" for each in function.settings.triggers]
