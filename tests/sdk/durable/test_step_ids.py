"""Step ids: the table of protocol/step-semantics.md 1."""

import pytest

from ironflow.sdk.durable.steps.step_ids import Scope, escaped
from tests.sdk.durable.jobs import an_execution


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("charge", "charge"),
        ("a:b", r"a\:b"),
        ("x\\y", r"x\\y"),
        ("a\\:b", r"a\\\:b"),
        ("publish:orders.x", "publish:orders.x"),
        ("publish:a:b", r"publish:a\:b"),
        ("compensate:charge", "compensate:charge"),
        ("compensate:a:b\\c", r"compensate:a\:b\\c"),
        ("publish", "publish"),
        ("order placed.v2", "order placed.v2"),
        ("", ""),
    ],
)
def test_a_name_is_escaped_except_for_the_sdks_own_prefix(name, written):
    assert escaped(name) == written


def test_calls_of_one_name_are_counted_from_nought():
    scope = Scope("r")

    assert [scope.next_id(name) for name in ("charge", "charge", "a:b", "charge")] == [
        "r:charge:0",
        "r:charge:1",
        r"r:a\:b:0",
        "r:charge:2",
    ]


def test_the_counter_goes_by_the_name_as_given():
    scope = Scope("r")

    assert scope.next_id("a:b") == r"r:a\:b:0"
    assert scope.next_id(r"a\:b") == r"r:a\\\:b:0"


def test_a_branch_counts_afresh_and_carries_its_path():
    branch = Scope("run_1").branch("outer", 0).branch("inner", 2)

    assert branch.next_id("leaf") == "run_1:outer:0:inner:2:leaf:0"
    assert Scope("r").branch("m", 0).branch("in", 0).next_id("x:y") == r"r:m:0:in:0:x\:y:0"


async def test_every_kind_of_step_counts_in_the_same_counter():
    async def handler(ctx):
        await ctx.step.run("a", int)
        await ctx.step.sleep("a", "1s")
        await ctx.step.run("a", int)

    execution = an_execution(handler, done={"r:a:0": 0, "r:a:1": None})
    await execution.run()

    assert [row.id for row in execution.rows] == ["r:a:2"]
