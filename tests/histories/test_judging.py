"""The judge of histories sees what may not be, and lets pass what may."""

from typing import Any

import pytest

from tests.histories.judging import Judge, failures
from tests.histories.player import Stage
from tests.histories.records import Act

LEASE = 1.0
STAGE = Stage(1)
WORK = next(iter(STAGE.works.works.values()))
BLOB = WORK.blobs[0]
APP = STAGE.repositories[0]


def act(what: str, begin: float, answer: str | None = "done", told: Any = "None", **asked: Any) -> Act:
    return Act(what, {"repository": APP, **asked}, begin, begin + 0.1, answer, told)


def put(begin: float, answer: str | None = "done", told: Any = None) -> Act:
    return act("put", begin, answer, told, digest=WORK.digest, tags=["t0"])


def read(begin: float, answer: str = "done") -> Act:
    return act("read", begin, answer, WORK.digest, reference=WORK.digest)


def head(begin: float) -> Act:
    return act("head", begin, digest=BLOB)


def missing(begin: float, since: float) -> Act:
    return act("missing", begin, "there", digest=WORK.digest, part=BLOB, since=since)


DELETED = act("delete manifest", 2, digest=WORK.digest)
BLOB_DELETED = act("delete blob", 2, digest=BLOB)
REFUSED = ("ManifestPartUnknown", [BLOB])


@pytest.mark.parametrize(
    "acts",
    [
        [put(1), read(3)],
        [put(1), DELETED, read(3, "ManifestUnknown")],
        [put(1, None), read(3)],
        [put(1, None), read(3, "ManifestUnknown")],
        [put(1), DELETED, missing(4, 1)],
        [head(1), put(2.5, *REFUSED)],
        [head(1.5), BLOB_DELETED, put(2.2, *REFUSED)],
    ],
    ids=["pushed", "deleted", "in doubt", "not done", "away meanwhile", "after the lease", "blob deleted"],
)
def test_what_may_be_so_is_no_violation(acts: list[Act]) -> None:
    assert Judge(STAGE, LEASE, acts).violations() == []


@pytest.mark.parametrize(
    "acts",
    [
        [put(1), read(3, "ManifestUnknown")],
        [put(1), DELETED, read(3)],
        [put(1), missing(4, 1)],
        [head(1), put(1.5, *REFUSED)],
        [head(1), BLOB_DELETED, head(2.5), put(3, *REFUSED)],
    ],
    ids=["lost", "back by itself", "not whole", "within the lease", "within the second lease"],
)
def test_what_may_not_be_so_is_told(acts: list[Act]) -> None:
    assert Judge(STAGE, LEASE, acts).violations() != []


def test_an_answer_that_nothing_has_is_a_failure() -> None:
    assert failures([head(1), put(2, *REFUSED), act("read", 3, None)]) == []
    assert failures([act("blob", 1, "BlobMissing", digest=BLOB)]) != []
    assert failures([act("push", 1, "failure", digest=BLOB)]) != []
