import pytest

from ironflow.features.projections import feeder


@pytest.fixture(autouse=True)
def short_polls(monkeypatch: pytest.MonkeyPatch):
    """An empty poll is held for a moment only: what these tests wait for is there, or never comes."""
    monkeypatch.setattr(feeder, "POLL_HOLD_S", 0.01)
