import itertools
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiogate.usage.framing import MAX_LINE_BYTES, Events, Records

LINE_ENDS = (b"\n", b"\r\n", b"\r")
SPEAKS = b'{"usage":1}'
FIELDS = st.sampled_from(
    [
        b"data: " + SPEAKS,
        b"data:" + SPEAKS,
        b'data: {"a":',
        b'data: "usage"}',
        b"data:",
        b"data",
        b"event: message",
        b": keep-alive",
        b'"usage"',
        b'data: {"usage" : null}',
        b'data: {"usage":null, "usage":{}}',
        b'data: {"usage":',
        b"data: null}",
        b"",
        b"",
    ]
)
LINES = st.lists(st.tuples(FIELDS, st.sampled_from(LINE_ENDS)), max_size=20)


def payloads(framing: Events | Records, chunks: Iterable[bytes]) -> list[bytes]:
    found = [payload for chunk in chunks for payload in framing.feed(chunk)]
    return [*found, *framing.finish()]


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(borders)]


def by_the_standard(lines: Iterable[bytes]) -> list[bytes]:
    """Parse events the slow and obvious way, out of lines that are already known."""
    found, data = [], []
    for line in [*lines, b"", b""]:
        field, _, value = line.partition(b":")
        if not line and data:
            found.append(b"\n".join(data))
            data = []
        elif field == b"data" and b":" in line:
            data.append(value.removeprefix(b" "))
    return [payload for payload in found if speaks(payload)]


def speaks(payload: bytes) -> bool:
    return any(not rest.replace(b" ", b"").startswith(b":null") for rest in payload.split(b'"usage"')[1:])


@given(LINES, st.lists(st.integers(0, 10_000), max_size=8), st.booleans())
def test_any_mix_of_line_ends_cut_anywhere_gives_the_events_of_the_standard(
    lines: list[tuple[bytes, bytes]], places: list[int], has_bom: bool
) -> None:
    mixed = []
    for number, (line, end) in enumerate(lines):
        after_cr = number > 0 and lines[number - 1][1] == b"\r"
        mixed.append((line, b"\r\n" if not line and end == b"\n" and after_cr else end))  # CR LF would be one end
    stream = (b"\xef\xbb\xbf" if has_bom else b"") + b"".join(line + end for line, end in mixed)
    expected = by_the_standard(line for line, _ in mixed)
    assert payloads(Events(), cut(stream, places)) == expected
    assert payloads(Events(), [stream[n : n + 1] for n in range(len(stream))]) == expected


@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=8))
@pytest.mark.parametrize("framing", [Events, Records])
def test_arbitrary_bytes_cut_anywhere_give_what_the_whole_gives(
    framing: type[Events | Records], noise: bytes, places: list[int]
) -> None:
    stream = noise.replace(b"\x00", b"\n").replace(b"\x01", b"\r").replace(b"\x02", b"data:" + SPEAKS)
    assert payloads(framing(), cut(stream, places)) == payloads(framing(), [stream])


@pytest.mark.parametrize("end", LINE_ENDS)
def test_events_that_say_nothing_are_passed_over_up_to_the_one_that_is_still_open(end: bytes) -> None:
    events = Events()
    silent = (b'data: {"a":1}' + end + end) * 3
    assert not events.feed(silent + b'data: {"us' + end)
    assert list(events.feed(b"data: age" + end + end + b":")) == []
    assert not events.feed(silent + b'data: {"usage"' + end)
    assert list(events.feed(b"data: :1}" + end + end + b":")) == [b'{"usage"\n:1}']


@pytest.mark.parametrize("end", LINE_ENDS)
def test_an_event_is_given_as_soon_as_the_line_after_it_shows_its_end(end: bytes) -> None:
    events = Events()
    assert not events.feed(b"data: " + SPEAKS + end)
    assert list(events.feed(end + b":")) == [SPEAKS]


def test_the_data_lines_of_one_event_are_joined() -> None:
    stream = b'data: {\ndata: "usage"\nevent: x\ndata: :1}\n\n'
    assert payloads(Events(), [stream]) == [b'{\n"usage"\n:1}']


def test_only_the_space_after_the_colon_is_taken_away() -> None:
    assert payloads(Events(), [b'data:  "usage" \n\n']) == [b' "usage" ']


def test_a_byte_order_mark_counts_as_nothing_at_the_start_alone() -> None:
    bom = b"\xef\xbb\xbf"
    assert payloads(Events(), [bom[:1], bom[1:] + b"data: " + SPEAKS + b"\n\n"]) == [SPEAKS]
    assert payloads(Events(), [b"\n", bom + b"data: " + SPEAKS + b"\n\n"]) == []


def test_an_event_that_the_end_cuts_short_is_given_at_the_end() -> None:
    events = Events()
    assert not events.feed(b"data: " + SPEAKS)
    assert list(events.finish()) == [SPEAKS]
    assert not events.finish()


def test_records_are_lines_that_speak_of_usage() -> None:
    assert payloads(Records(), [b'{"a":1}\n{"us', b'age":2}\r\n\n{"usage":3}']) == [b'{"usage":2}', b'{"usage":3}']


@pytest.mark.parametrize("framing", [Events, Records])
@pytest.mark.parametrize("step", [1000, 65_536, 10_000_000])
def test_a_line_that_is_too_long_is_skipped_and_the_next_one_is_read(
    framing: type[Events | Records], step: int
) -> None:
    too_long = b'data: "usage"' + b"x" * MAX_LINE_BYTES
    stream = too_long + b"\n\ndata: " + SPEAKS + b"\n\n"
    chunks = [stream[n : n + step] for n in range(0, len(stream), step)]
    expected = SPEAKS if framing is Events else b"data: " + SPEAKS
    assert payloads(framing(), chunks) == [expected]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("step", [65_536, MAX_LINE_BYTES + 2, 10_000_000])
def test_the_longest_line_that_may_be_is_read(step: int, bom: bytes) -> None:
    head = b'data: "usage"'
    line = head + b"x" * (MAX_LINE_BYTES - len(head))
    stream = bom + line + b"\n\n" + line + b"\n\n" + line + b"x\n\n"
    chunks = [stream[n : n + step] for n in range(0, len(stream), step)]
    assert payloads(Events(), chunks) == [line[6:]] * 2


def test_the_lines_of_one_event_are_kept_up_to_the_same_limit() -> None:
    half = b"data: " + b"x" * (MAX_LINE_BYTES // 2) + b"\n"
    found = payloads(Events(), [half, half, half, b'data: "usage"\n\n', b"data: " + SPEAKS + b"\n\n"])
    assert [len(payload) < MAX_LINE_BYTES for payload in found] == [True, True]
    assert found[-1] == SPEAKS


def test_of_a_line_without_end_no_more_is_kept_than_shows_that_it_is_too_long() -> None:
    events = Events()
    for _ in range(50):
        assert not events.feed(b"x" * 65_536)
    assert MAX_LINE_BYTES < len(events._lines._open) < MAX_LINE_BYTES + 10


def test_a_long_line_in_tiny_chunks_costs_no_more_than_its_bytes() -> None:
    def seconds(length: int) -> float:
        line = b"data: " + b"x" * length + b'"usage"\n\n'
        events = Events()
        start = time.process_time()
        found = [payload for n in range(len(line)) for payload in events.feed(line[n : n + 1])]
        assert len(found) == 1
        return time.process_time() - start

    assert seconds(700_000) < 60 * seconds(35_000)  # 20 times the bytes; 400 times the time if it were quadratic
