"""What the soak calls flat."""

from tests.soak.flat import Use, faults, growth


def test_a_process_that_only_warms_up_is_flat():
    uses = [Use(10 + min(number, 5), 50.0 + min(number, 5), 4) for number in range(40)]
    assert growth(uses) == Use(0, 0, 0)
    assert faults(uses) == []


def test_a_descriptor_a_second_is_a_fault():
    uses = [Use(20 + number, 60.0, 4) for number in range(40)]
    assert faults(uses) == ["descriptors grew by 20, 10 is allowed"]


def test_memory_and_threads_that_grow_are_faults():
    uses = [Use(20, 60.0 + 3 * number, 4 + number // 4) for number in range(40)]
    assert [fault.split()[0] for fault in faults(uses)] == ["rss_mb", "threads"]
