"""Rules of limits: token buckets, and who a limit is for."""

import pytest

from ironflow.base.errors import IronflowError
from ironflow.features.limits import rules
from ironflow.features.limits.rules import Bucket, LimitRow

TEN = LimitRow("key:a", 10, 0, 0)


@pytest.mark.parametrize(
    ("bucket", "limit", "now", "tokens", "wait_s"),
    [
        (None, TEN, 0, 9, 0),
        (None, LimitRow("key:a", 10, 3, 0), 0, 2, 0),
        (None, LimitRow("key:a", 0.5, 0, 0), 0, 0, 0),
        (Bucket(0, 0), TEN, 0, 0, 0.1),
        (Bucket(0, 0), TEN, 50, 0.5, 0.05),
        (Bucket(0, 0), TEN, 100, 0, 0),
        (Bucket(0, 0), TEN, 60_000, 9, 0),
        (Bucket(2, 100), TEN, 0, 1, 0),
        (Bucket(0, 0), LimitRow("key:a", 0.5, 0, 0), 0, 0, 2),
    ],
)
def test_a_bucket_gives_a_token_or_the_time_until_one(
    bucket: Bucket | None, limit: LimitRow, now: int, tokens: float, wait_s: float
):
    taken = rules.decide_token(bucket, limit, now)
    assert (taken.bucket.tokens, taken.wait_s) == (pytest.approx(tokens), pytest.approx(wait_s))


@pytest.mark.parametrize("subject", ["key:apikey_1", "user:user-1", "env:staging", "key:*", "user:*", "env:*"])
def test_limits_are_for_keys_users_and_environments(subject: str):
    rules.check_subject(subject)


@pytest.mark.parametrize("subject", ["", "key:", "org:1", "env:a b", "*", "key:a*"])
def test_others_have_none(subject: str):
    with pytest.raises(IronflowError, match="has no limits"):
        rules.check_subject(subject)


@pytest.mark.parametrize(
    ("subject", "rows"),
    [
        ("key:a", "key:a"),
        ("env:acceptance", "env:staging"),
        ("env:new", "env:env_2"),
        ("env:never", "env:never"),
        # Its rows carry it, and it is another's name now.
        ("env:staging", None),
    ],
)
def test_a_limit_is_for_what_the_rows_of_its_environment_carry(subject: str, rows: str | None):
    assert rules.subject_of_rows(subject, {"acceptance": "staging", "new": "env_2"}) == rows
