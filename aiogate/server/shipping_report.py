"""How far the centre is behind the journal, as metrics; for operators who want to know before a disk is full."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from aiogate.server.house import House

__all__ = ["shipping_metrics"]


def shipping_metrics(house: House) -> Iterator[Metric]:
    """Yield how many records wait and have gone, where they are shipped; of several workers one says it for all."""
    if house.shipper is None:
        return
    now = house.shipper.shipping
    yield GaugeMetricFamily("aiogate_journal_unshipped_records", "Records that the centre has not got.", now.behind)
    yield CounterMetricFamily("aiogate_journal_shipped_records", "Records that it has acknowledged.", now.shipped)
    failing = "Whether the centre cannot be reached."
    yield GaugeMetricFamily("aiogate_journal_shipping_failing", failing, int(now.trouble is not None))
