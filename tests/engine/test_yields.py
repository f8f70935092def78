"""What an execution stops for, where it was stopped for it before."""

from ironflow.engine.commands import Invoke, Pause, Resume
from ironflow.engine.effects import SetTimer
from tests.engine.life import Life, step

CHILD = Invoke("run_1:child:0", "child", "child", "null", 50_000, False, "run_2")


def test_a_child_asked_for_again_after_a_resume_from_a_later_step_keeps_its_deadline():
    """The resume dropped all timers; without one the parent would wait for ever for a child that hangs."""
    life = Life()
    until = life.now + 50_000
    life.report(life.claim(), "yielded", yielded=CHILD)
    life.do(Pause())
    life.do(Resume(from_step="later", from_sequence=1))
    life.later(1_000)

    decision = life.report(life.claim(), "yielded", step("before"), yielded=CHILD)

    assert decision.effects == (SetTimer(kind="invoke", due_at=until, step_id=CHILD.step_id),)
    assert (life.run.status, life.run.reason, life.run.next_at) == ("waiting", "invoke", until)
