"""What is there and may not be seen is answered like what is not there, and as fast."""

import statistics
import time
from typing import Any

import httpx

from tests.distribution.guarded import ANN, EVE, Account, Guarded, opened

PRIVATE, MISSING, NOWHERE = "team/app", "team/nil", "none/app"  # of one length
NOTHING = "sha256:" + "0" * 64
REQUESTS = [
    ("GET", "manifests/1"),
    ("HEAD", "manifests/1"),
    ("PUT", "manifests/1"),
    ("DELETE", "manifests/1"),
    ("GET", f"manifests/{NOTHING}"),
    ("GET", "tags/list"),
    ("GET", f"blobs/{NOTHING}"),
    ("HEAD", f"blobs/{NOTHING}"),
    ("DELETE", f"blobs/{NOTHING}"),
    ("GET", f"referrers/{NOTHING}"),
    ("POST", "blobs/uploads/"),
    ("POST", f"blobs/uploads/?mount={NOTHING}&from=open/app"),
    ("PATCH", "blobs/uploads/00000000-0000-0000-0000-000000000000"),
]


def proofs(guarded: Guarded) -> dict[str, dict[str, Any]]:
    return {
        "anonymous": {},
        "a stranger": {"auth": EVE},
        "a token of another repository": {"bearer": guarded.token("repository:open/app:pull", auth=EVE)},
        "a token of nobody": {"bearer": guarded.token("repository:open/app:pull")},
        "somebody else's robot": {"auth": (ANN[0], guarded.tokens["own"])},
    }


def as_one(guarded: Guarded, auth: Account | None = None, bearer: str = "") -> httpx.Client:
    headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
    return httpx.Client(base_url=guarded.url, auth=auth, headers=headers)


def plain(answer: httpx.Response, name: str) -> tuple[int, list[tuple[str, str]], str]:
    """An answer without what is of this request alone."""
    own = {"date", "x-request-id"}
    headers = [(key, value.replace(name, "…")) for key, value in answer.headers.items() if key not in own]
    return answer.status_code, headers, answer.text.replace(name, "…")


def test_what_may_not_be_seen_is_answered_like_what_is_not_there(guarded: Guarded) -> None:
    for who, proof in proofs(guarded).items():
        with as_one(guarded, **proof) as asking:
            for method, rest in REQUESTS:
                private, *others = (
                    plain(asking.request(method, f"/v2/{name}/{rest}"), name) for name in (PRIVATE, MISSING, NOWHERE)
                )

                assert private[0] in (401, 403), (who, method, rest)
                assert others == [private, private], (who, method, rest)
    with as_one(guarded, ANN) as asking:  # who may see it is told the difference
        assert [asking.get(f"/v2/{name}/manifests/1").status_code for name in (PRIVATE, MISSING)] == [200, 404]


def test_tokens_tell_nothing_of_what_is_there_either(guarded: Guarded) -> None:
    for proof in ({}, {"auth": EVE}):
        answers = [
            guarded.answer(f"repository:{name}:pull,push,delete", **proof) for name in (PRIVATE, MISSING, NOWHERE)
        ]
        assert {
            (answer.status_code, answer.json()["scope"], str(opened(answer.json()["token"]))) for answer in answers
        } == {(200, "", "{}")}


def test_nor_does_it_take_another_time(guarded: Guarded) -> None:
    for who, proof in proofs(guarded).items():
        with as_one(guarded, **proof) as asking:
            # What really takes longer does so each time; a busy machine does not.
            rounds = [medians(asking) for _ in range(3)]

        assert any(max(times) < 1.5 * min(times) + 0.0005 for times in rounds), (who, rounds)


def medians(asking: httpx.Client) -> list[float]:
    """Seconds for each of the three, asked in turn."""
    taken: dict[str, list[float]] = {name: [] for name in (PRIVATE, MISSING, NOWHERE)}
    for _ in range(30):
        for name, times in taken.items():
            began = time.perf_counter()
            asking.get(f"/v2/{name}/manifests/1")
            times.append(time.perf_counter() - began)
    return [statistics.median(times) for times in taken.values()]
