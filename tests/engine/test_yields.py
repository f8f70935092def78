"""What an execution stops for, where it was stopped for it before."""

from ironflow.engine.commands import Invoke, Pause, Resume
from ironflow.engine.effects import SetTimer
from tests.engine.driver import RunDriver, step

CHILD = Invoke("run_1:child:0", "child", "child", "null", 50_000, False, "run_2")


def test_a_child_asked_for_again_after_a_resume_from_a_later_step_keeps_its_deadline():
    """The resume dropped all timers; without one the parent would wait for ever for a child that hangs."""
    driver = RunDriver()
    until = driver.now + 50_000
    driver.report(driver.claim(), "yielded", yields=(CHILD,))
    driver.do(Pause())
    driver.do(Resume(from_step="later", from_sequence=1))
    driver.later(1_000)

    decision = driver.report(driver.claim(), "yielded", step("before"), yields=(CHILD,))

    assert decision.effects == (SetTimer(kind="invoke", due_at=until, step_id=CHILD.step_id),)
    assert (driver.run.status, driver.run.reason, driver.run.next_at) == ("waiting", "invoke", until)
