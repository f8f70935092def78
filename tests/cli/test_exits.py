import pytest

from ironflow.base import errors
from ironflow.cli.exits import MEANINGS, Exit, Interrupted, UsageError, exit_of
from ironflow.features.kv.contract import BucketFull, BucketNotFound, RevisionConflict
from ironflow.features.runs.contract import RunEnded, RunNotFound


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (UsageError(), Exit.USAGE),
        (errors.PayloadTooLarge(), Exit.USAGE),
        (errors.ValidationError(), Exit.USAGE),
        (errors.ConnectionLost(), Exit.UNREACHABLE),
        (RunNotFound(), Exit.NOT_FOUND),
        (BucketNotFound(), Exit.NOT_FOUND),
        (RunEnded(), Exit.REFUSED),
        (RevisionConflict(), Exit.REFUSED),
        (BucketFull(), Exit.REFUSED),
        (errors.Unauthenticated(), Exit.REFUSED),
        (errors.PermissionDenied(), Exit.REFUSED),
        (errors.AlreadyExists(), Exit.REFUSED),
        (errors.ResourceExhausted(), Exit.TRY_AGAIN),
        (errors.Unavailable(), Exit.TRY_AGAIN),
        (errors.DeadlineExceeded(), Exit.TRY_AGAIN),
        (errors.RunFailedError(), Exit.FAILED),
        (errors.Internal(), Exit.FAILED),
        (Interrupted(), Exit.INTERRUPTED),
    ],
)
def test_the_family_of_an_error_decides_the_exit_code(fault, code):
    assert exit_of(fault) is code


def test_every_exit_code_has_a_meaning_for_the_reference():
    assert set(MEANINGS) == set(Exit)
