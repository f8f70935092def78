import pytest

from ironflow.features.subscriptions import rules
from ironflow.features.subscriptions.contract import Backpressure, InvalidSubscription, Subscribe, SubscribeOptions


@pytest.mark.parametrize(
    ("mode", "positioned", "overflow"),
    [
        (Backpressure.DROP, False, "drop"),
        (Backpressure.DROP, True, "drop"),
        (Backpressure.BLOCK, False, "fall_behind"),
        (Backpressure.BUFFER, False, "end"),
        (Backpressure.BUFFER, True, "fall_behind"),
        (None, False, "end"),
        (None, True, "fall_behind"),
    ],
)
def test_the_mode_decides_what_a_full_queue_means(mode: Backpressure | None, positioned: bool, overflow: str):
    assert rules.decide_overflow(mode, positioned) == overflow


@pytest.mark.parametrize(
    "options",
    [
        SubscribeOptions(replay=-1),
        SubscribeOptions(start_after_sequence=-1),
        SubscribeOptions(start_after_sequence=1, replay=1),
        SubscribeOptions(start_after_sequence=0, consumer_group="workers"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: SubscribeOptions):
    with pytest.raises(InvalidSubscription):
        rules.check_options(options)


def test_a_replay_is_capped():
    assert rules.replay_count(SubscribeOptions(replay=5)) == 5
    assert rules.replay_count(SubscribeOptions(replay=5_000)) == 1_000


def test_the_id_is_the_same_for_the_same_wish_of_the_same_caller():
    wish = Subscribe(pattern="order.*", options=SubscribeOptions(filter="data.a"))
    ids = {
        rules.subscription_id("default", "key:1", wish),
        rules.subscription_id(
            "default", "key:1", Subscribe(pattern="order.*", options=SubscribeOptions(filter="data.a"))
        ),
    }
    assert len(ids) == 1
    others = [
        ("staging", "key:1", wish),
        ("default", "key:2", wish),
        ("default", "key:1", Subscribe(pattern="order.*")),
        ("default", "key:1", Subscribe(pattern="order.>", options=wish.options)),
    ]
    assert len({rules.subscription_id(*each) for each in others} - ids) == len(others)
