import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pierhead.observability.instruments import Counter, Gauge, Histogram, Reading
from pierhead.observability.metrics import Metrics
from pierhead.observability.observability import Observability
from pierhead.observability.slots import Slot, prepare
from tests.observability.scopes import http_scope

WORKER = """
import asyncio, sys
from pathlib import Path
from pierhead.observability.observability import Observability

async def main(shared, requests):
    async with Observability(access="none", format="json", shared=shared) as observability:
        observability.metrics.uploads.add(1)
        for _ in range(requests):
            record = observability.started({"method": "GET"})
            record.operation, record.status, record.bytes_out = "get_manifest", 200, 10
            observability.finished(record)
        await asyncio.sleep(0.7)
        print("shared", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


def start_worker(shared: Path, requests: int) -> "subprocess.Popen[bytes]":
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(shared), str(requests)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert worker.stdout
    assert worker.stdout.readline() == b"shared\n"
    return worker


def end(worker: "subprocess.Popen[bytes]", how: signal.Signals | None = None) -> None:
    if how:
        worker.send_signal(how)
    worker.communicate(b"\n")


def value(page: bytes, sample: str) -> float:
    found = re.search(rf"^{re.escape(sample)} (\S+)$", page.decode(), re.MULTILINE)
    assert found, f"{sample} is not in the page"
    return float(found[1])


async def scraped(shared: Path | None) -> bytes:
    async with Observability(access="none", format="json", shared=shared) as observability:
        return (await observability.page())[0]


REQUESTS = 'pierhead_requests_total{code="200",method="GET",operation="get_manifest"}'


def test_a_scrape_of_any_worker_shows_the_sum_over_all(tmp_path: Path) -> None:
    shared = prepare(tmp_path)
    workers = [start_worker(shared, requests) for requests in (3, 4, 5)]

    page = asyncio.run(scraped(shared))

    for worker in workers:
        end(worker)
    assert value(page, REQUESTS) == 12
    assert value(page, 'pierhead_sent_bytes_total{operation="get_manifest"}') == 120
    assert value(page, 'pierhead_request_seconds_count{method="GET",operation="get_manifest"}') == 12
    assert value(page, 'pierhead_request_seconds_bucket{le="+Inf",method="GET",operation="get_manifest"}') == 12
    assert value(page, "pierhead_uploads_in_progress") == 3
    assert value(page, "pierhead_workers") == 4


@pytest.mark.parametrize("how", [None, signal.SIGKILL])
def test_what_a_dead_worker_counted_stays_and_its_gauges_go(tmp_path: Path, how: signal.Signals | None) -> None:
    shared = prepare(tmp_path)
    living, dying = start_worker(shared, 1), start_worker(shared, 2)
    end(dying, how)

    page = asyncio.run(scraped(shared))

    end(living)
    assert value(page, REQUESTS) == 3
    assert value(page, "pierhead_uploads_in_progress") == 1


def test_a_worker_goes_on_from_the_counts_of_the_dead_one_whose_slot_it_takes(tmp_path: Path) -> None:
    shared = prepare(tmp_path)
    for _ in range(5):
        end(start_worker(shared, 10), signal.SIGKILL)

    page = asyncio.run(scraped(shared))

    assert value(page, REQUESTS) == 50
    assert value(page, "pierhead_uploads_in_progress") == 0
    assert len(list(shared.glob("*.lock"))) == 1


def test_the_last_moments_of_a_worker_that_ends_in_order_are_counted(tmp_path: Path) -> None:
    shared = prepare(tmp_path)

    async def one_request() -> None:
        async with Observability(access="none", format="json", shared=shared) as observability:
            record = observability.started(http_scope())
            record.operation, record.status = "get_manifest", 200
            observability.finished(record)

    asyncio.run(one_request())
    assert value(asyncio.run(scraped(shared)), REQUESTS) == 1


def test_files_of_earlier_runs_are_removed_at_start(tmp_path: Path) -> None:
    earlier = prepare(tmp_path)
    end(start_worker(earlier, 7))

    shared = prepare(tmp_path)

    assert not earlier.exists()
    assert REQUESTS not in asyncio.run(scraped(shared)).decode()


def test_a_torn_write_leaves_the_numbers_written_before(tmp_path: Path) -> None:
    slot = Slot.take(tmp_path)
    slot.write({"a": {(): [1.0]}})
    slot.write({"a": {(): [2.0]}})
    slot.close()
    (tmp_path / "0.0").write_bytes((tmp_path / "0.0").read_bytes()[:-3])

    again = Slot.take(tmp_path)

    assert again.inherited == {"a": {(): [1.0]}}
    again.close()


def test_a_shorter_write_after_a_longer_one_is_whole(tmp_path: Path) -> None:
    slot = Slot.take(tmp_path)
    for number in (1e15 + 1, 1e15 + 2, 1.0):
        slot.write({"a": {("x",): [number]}})
    slot.close()

    again = Slot.take(tmp_path)

    assert again.inherited == {"a": {("x",): [1.0]}}
    again.close()


def test_a_full_disk_costs_a_warning_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def with_a_full_disk() -> bytes:
        async with Observability(access="none", format="json", shared=prepare(tmp_path)) as observability:
            assert observability._slot
            full = os.open("/dev/full", os.O_RDWR)
            for file in observability._slot._files:
                os.dup2(full, file)
            os.close(full)
            await asyncio.sleep(0.7)
            return (await observability.page())[0]

    page = asyncio.run(with_a_full_disk())

    assert value(page, "pierhead_workers") == 1
    assert "cannot be shared" in caplog.text


def test_methods_that_clients_invent_share_one_label() -> None:
    async def invented() -> bytes:
        async with Observability(access="none", format="json", shared=None) as observability:
            for number in range(100):
                record = observability.started(http_scope(f'X{number}"\n'))
                record.status = 405
                observability.finished(record)
            return (await observability.page())[0]

    page = asyncio.run(invented())

    assert value(page, 'pierhead_requests_total{code="405",method="other",operation="unknown"}') == 100


def test_refusals_are_counted_by_code() -> None:
    async def refused() -> bytes:
        async with Observability(access="none", format="json", shared=None) as observability:
            record = observability.started(http_scope())
            record.status, record.error = 404, "MANIFEST_UNKNOWN"
            observability.finished(record)
            return (await observability.page())[0]

    assert value(asyncio.run(refused()), 'pierhead_refusals_total{code="MANIFEST_UNKNOWN"}') == 1


def test_storage_operations_are_timed_and_what_fails_moves_no_bytes() -> None:
    metrics = Metrics()

    metrics.stored("write", 0.002, 1000, well=True)
    metrics.stored("write", 0.002, 500, well=False)

    assert metrics.storage_bytes.rows == {("write",): [1000]}
    assert metrics.storage_errors.rows == {("write",): [1]}
    assert sum(metrics.storage_seconds.rows["write",][1:]) == 2


def test_commits_are_counted_timed_and_their_batches_measured() -> None:
    metrics = Metrics()
    metrics.committed("full", transactions=3, seconds=0.002)

    assert metrics.commits.rows == {("full",): [1]}
    assert metrics.batch_sizes.rows["full",][0] == 3
    assert metrics.commit_seconds.rows["full",][0] == 0.002


def test_a_value_on_a_bound_belongs_to_the_bucket_below_it() -> None:
    histogram = Histogram("h", "", buckets=(1, 2))
    for observed in (1, 2, 3):
        histogram.observe(observed)

    assert histogram.rows[()] == [6, 1, 1, 1]


def test_labels_that_were_not_declared_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="has the labels"):
        Counter("c", "", ("a",)).add(1)
    with pytest.raises(ValueError, match="has the labels"):
        Gauge("g", "").add(1, "b")


def test_a_reading_whose_file_is_missing_is_left_out(tmp_path: Path) -> None:
    reading = Reading("r", "")
    reading.watch(lambda: (tmp_path / "missing").stat().st_size)
    assert reading.copy() == {}

    reading.watch(lambda: 7)
    assert reading.copy() == {(): [7]}


def test_every_metric_has_a_name_of_ours_a_description_and_its_own_line() -> None:
    instruments = Metrics().instruments()

    assert len({instrument.name for instrument in instruments}) == len(instruments)
    assert all(instrument.name.startswith("pierhead_") and instrument.description for instrument in instruments)


def test_an_open_metrics_reader_gets_that_format() -> None:
    async def asked() -> tuple[bytes, str]:
        async with Observability(access="none", format="json", shared=None) as observability:
            return await observability.page("application/openmetrics-text; version=1.0.0")

    page, kind = asyncio.run(asked())
    assert kind.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")
