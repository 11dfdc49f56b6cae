"""How long a body may be waited for, on a clock of the test's own."""

import attrs
import pytest

from aiogate.proxy.pace import Lateness


@attrs.frozen
class Bounds:
    header_seconds: float = 10.0
    body_seconds: float = 3.0
    body_bytes_per_second: int = 0


LOOK_SECONDS = 0.5


def looks_until_late(
    bounds: Bounds, *, piece: int = 0, every: int = 1, waits: bool = True, lookings: int = 1000
) -> int | None:
    """Return after how many looks the client is late; in every ``every``-th one ``piece`` bytes more are here."""
    lateness = Lateness()
    received = 0
    for look in range(lookings):
        if look and look % every == 0:
            received += piece
        if lateness.is_late(look * LOOK_SECONDS, received, bounds, waits=waits):
            return look
    return None


def test_a_body_that_stops_is_late_when_nothing_has_come_for_long_enough() -> None:
    assert looks_until_late(Bounds()) == 6


def test_each_piece_gives_it_the_whole_time_again() -> None:
    assert looks_until_late(Bounds(), piece=1, every=5) is None
    assert looks_until_late(Bounds(), piece=1, every=7) == 6


@pytest.mark.parametrize("piece, late", [(49, True), (50, False)])
def test_a_body_that_trickles_is_late_when_its_pace_is_below_the_least(piece: int, late: bool) -> None:
    bounds = Bounds(body_bytes_per_second=100)
    assert (looks_until_late(bounds, piece=piece) is not None) is late


def test_at_its_beginning_a_body_may_be_slow() -> None:
    assert looks_until_late(Bounds(body_bytes_per_second=100), piece=1) == 6


def test_what_the_agent_takes_to_read_is_not_the_clients_fault() -> None:
    assert looks_until_late(Bounds(body_bytes_per_second=100), waits=False) is None


def test_nor_is_what_keeps_the_gateway_busy() -> None:
    lateness = Lateness()
    bounds = Bounds()
    assert not lateness.is_late(0.0, 1, bounds, waits=True)
    assert not lateness.is_late(100.0, 1, bounds, waits=True)
