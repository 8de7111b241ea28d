"""The sum over all workers, as Prometheus reads it."""

from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from pierhead.observability.instruments import Counter, Gauge, Histogram, Instrument, Rows
from pierhead.observability.slots import Numbers, Snapshot


def text(instruments: Sequence[Instrument], own: Numbers, others: Iterable[Snapshot], accept: str) -> tuple[bytes, str]:
    """The page and its content type, in the format that `accept` asks for."""
    encode, content_type = choose_encoder(accept)
    totals = total(instruments, own, others)
    return encode(_Families([_family(instrument, totals[instrument.name]) for instrument in instruments])), content_type


def total(instruments: Sequence[Instrument], own: Numbers, others: Iterable[Snapshot]) -> Numbers:
    totals = {
        instrument.name: {labels: row.copy() for labels, row in own[instrument.name].items()}
        for instrument in instruments
    }
    summed = [instrument for instrument in instruments if isinstance(instrument, Counter | Gauge | Histogram)]
    for snapshot in others:
        for instrument in summed:
            # A gauge dies with its worker; what was counted stays counted.
            if snapshot.alive or not isinstance(instrument, Gauge):
                _add(totals[instrument.name], snapshot.numbers.get(instrument.name, {}))
    return totals


def _add(rows: Rows, more: Rows) -> None:
    for labels, numbers in more.items():
        present = rows.get(labels)
        rows[labels] = [a + b for a, b in zip(present, numbers, strict=True)] if present else numbers


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _family(instrument: Instrument, rows: Rows) -> Metric:
    if isinstance(instrument, Histogram):
        return _histogram(instrument, rows)
    family: CounterMetricFamily | GaugeMetricFamily
    kind = CounterMetricFamily if isinstance(instrument, Counter) else GaugeMetricFamily
    family = kind(instrument.name, instrument.description, labels=instrument.labels)
    for labels, row in sorted(rows.items()):
        family.add_metric(labels, row[0])
    return family


def _histogram(instrument: Histogram, rows: Rows) -> HistogramMetricFamily:
    family = HistogramMetricFamily(instrument.name, instrument.description, labels=instrument.labels)
    bounds = [*map(floatToGoString, instrument.buckets), "+Inf"]
    for labels, (summed, *counts) in sorted(rows.items()):
        family.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), summed)
    return family
