"""What a function configures about recording its runs; pure. Source: protocol/connectrpc.md 5.2, behaviour.md 1."""

from ironflow.base.duration import InvalidDuration, duration_ms
from ironflow.engine.model import Recording
from ironflow.features.functions.contract import InvalidFunction

FOREVER = "forever"
# Units that only retentions are written in.
_DAYS = {"w": 7, "y": 365}
_PROFILES: dict[str, Recording] = {"": "all", "all": "all", "steps": "steps", "run_lifecycle": "run_lifecycle"}


def check_recording(profile: str, retention: str) -> None:
    """Raises InvalidFunction for a profile or a retention that means nothing."""
    if profile not in _PROFILES:
        known = ", ".join(name for name in _PROFILES if name)
        raise InvalidFunction(f"recording_profile is {profile!r}; write one of {known}.")
    try:
        kept_ms = retention_ms(retention)
    except InvalidDuration:
        kept_ms = 0
    if kept_ms == 0:
        raise InvalidFunction(
            f"recording_retention is {retention!r}; write forever, or a duration such as 7d, 4w or 7y."
        )


def recording_of(recording: bool, profile: str) -> Recording:
    """Which facts of a function's new runs are kept."""
    return _PROFILES.get(profile, "all") if recording else ""


def retention_ms(retention: str) -> int | None:
    """How long the recording of a run is kept after its end; None for ever. Raises InvalidDuration."""
    if retention in ("", FOREVER):
        return None
    count, unit = retention[:-1], retention[-1]
    if unit in _DAYS and count.isascii() and count.isdigit():
        return duration_ms(f"{int(count) * _DAYS[unit]}d")
    return duration_ms(retention)
