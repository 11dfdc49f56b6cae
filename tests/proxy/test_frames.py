"""Frames of a WebSocket, stepped over however the bytes are cut."""

import pytest

from aiogate.proxy.frames import Frames, close_frame

FRAGMENTS = b"\x01\x02hi" + b"\x89\x00" + b"\x00\x01!" + b"\x80\x00"  # a text in three pieces, with a ping amid them
MASKED = b"\x82\x83\x01\x02\x03\x04abc"
LONG = b"\x82\x7e\x01\x00" + b"\x81" * 256
LONGEST = b"\x82\xff" + (70_000).to_bytes(8) + b"mask" + bytes(70_000)


def fed(data: bytes, size: int) -> Frames:
    frames = Frames()
    for at in range(0, len(data), size):
        frames.feed(data[at : at + size])
    return frames


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000, 100_000])
def test_messages_are_counted_when_they_are_whole(size: int) -> None:
    frames = fed(FRAGMENTS + MASKED + LONG + LONGEST + b"\x8a\x00", size)
    assert (frames.messages, frames.at_border, frames.closing) == (4, True, False)
    assert fed(b"\x01\x02hi\x00\x01!", size).messages == 0


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_nothing_counts_behind_the_closing_frame(size: int) -> None:
    frames = fed(MASKED + close_frame(1000, "bye") + MASKED, size)
    assert (frames.messages, frames.closing) == (1, True)
