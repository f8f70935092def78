"""Which version of the code makes which run."""

import pytest

from ironflow.features.code_versions.in_tx import Pins, decide_pins, may_go, newest_version

SEEN = {"v1": 10, "v2": 20, "v3": 30}


@pytest.mark.parametrize(
    ("serving", "newest"),
    [(["v1"], "v1"), (["v2", "v1"], "v2"), (["", "v1"], "v1"), ([""], ""), ([], ""), (["v1", "v1", "v3"], "v3")],
)
def test_new_runs_begin_with_the_newest_version_that_a_live_worker_serves(serving: list[str], newest: str):
    assert newest_version(serving, SEEN) == newest


@pytest.mark.parametrize(
    ("version", "others", "fresh"),
    [("v2", ["v1"], True), ("v1", ["v2"], False), ("v1", [], True), ("", ["v1"], False), ("", [], True)],
)
def test_a_worker_takes_runs_without_a_version_only_where_its_own_is_the_newest(
    version: str, others: list[str], fresh: bool
):
    assert decide_pins(version, others, SEEN) == Pins(version, fresh)


def test_workers_of_a_version_may_go_when_no_run_is_left_and_another_is_newest():
    assert may_go("v1", 0, "v2")
    assert not may_go("v1", 1, "v2")
    assert not may_go("v2", 0, "v2")
