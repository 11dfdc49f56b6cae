"""The functions that conditions may call."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from aiogate.builtin.policies.functions import glob, ip_in, time_between

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    "address, networks, expected",
    [
        ("10.1.2.3", ["10.0.0.0/8"], True),
        ("11.1.2.3", ["10.0.0.0/8"], False),
        ("10.1.2.3", ["192.0.2.1", "10.1.2.3"], True),
        ("2001:db8::7", ["10.0.0.0/8", "2001:db8::/32"], True),
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], True),
        ("::1", ["10.0.0.0/8"], False),
        ("::1", [], False),
    ],
)
def test_an_address_is_in_a_network(address: str, networks: list[str], expected: bool) -> None:
    assert ip_in(address, networks) is expected


@pytest.mark.parametrize("address, networks", [("", ["::/0"]), ("10.0.0.1:80", ["::/0"]), ("::1", ["::1/8"])])
def test_what_is_no_address_and_no_network_is_an_error(address: str, networks: list[str]) -> None:
    with pytest.raises(ValueError, match=r"does not appear to be|has host bits set"):
        ip_in(address, networks)


@pytest.mark.parametrize(
    "hour, start, end, expected",
    [
        (8, "09:00", "17:00", True),  # nine o'clock in Berlin
        (7, "09:00", "17:00", False),
        (16, "09:00", "17:00", False),
        (15, "09:00", "17:00", True),
        (22, "22:00", "06:00", True),
        (3, "22:00", "06:00", True),
        (5, "22:00", "06:00", False),
        (12, "22:00", "06:00", False),
        (22, "22:00", "24:00", True),
        (9, "10:00", "10:00", False),
    ],
)
def test_a_time_of_day_is_told_in_a_zone_and_may_pass_midnight(hour: int, start: str, end: str, expected: bool) -> None:
    assert time_between(BERLIN, datetime(2026, 1, 5, hour, tzinfo=UTC), start, end) is expected


@pytest.mark.parametrize("text", ["9:00", "24:01", "09:60", "noon", ""])
def test_what_is_no_time_of_day_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time from '00:00' to '24:00'"):
        time_between(BERLIN, datetime(2026, 1, 5, tzinfo=UTC), "00:00", text)


@pytest.mark.parametrize(
    "text, pattern, expected",
    [
        ("/v1/chat", "/v1/*", True),
        ("/v1/chat/x", "/v1/*", False),
        ("/v1/chat/x", "/v1/**", True),
        ("/v1/a", "/v?/a", True),
        ("/v//a", "/v?/a", False),
        ("gpt-4o", "gpt-4*", True),
        ("a+b", "a+b", True),
        ("aab", "a+b", False),
        ("x\ny", "x**", True),
        ("abc", "b", False),
        ("[a]", "[a]", True),
    ],
)
def test_a_pattern_fits_a_whole_text(text: str, pattern: str, expected: bool) -> None:
    assert glob(text, pattern) is expected
