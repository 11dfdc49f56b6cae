"""Content codings: what they unfold to, cut anywhere, and where unfolding ends."""

import gzip
import sys
import zlib
from collections.abc import Callable, Iterable

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiogate.usage import reader_for
from aiogate.usage.decoding import MAX_DECODED_BYTES, decoder, readable_codings
from aiogate.usage.estimate import tokens

Compress = Callable[[bytes], bytes]

SAID = b'{"model":"m","usage":{"prompt_tokens":1,"completion_tokens":2}}'
BOMB = b"0" * (MAX_DECODED_BYTES + 1)


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


FORMS = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("br", brotli.compress),
]


def unfolded(coding: str, chunks: Iterable[bytes]) -> bytes | None:
    undo = decoder(coding)
    assert undo is not None
    found = bytearray()
    for chunk in chunks:
        part = undo.decode(chunk)
        if part is None:
            return None
        found += part
    return bytes(found)


@given(st.binary(max_size=2000), st.integers(1, 50))
@pytest.mark.parametrize("coding, compress", FORMS)
def test_what_was_folded_comes_out_again_whatever_the_chunks(
    coding: str, compress: Compress, data: bytes, step: int
) -> None:
    folded = compress(data)
    assert unfolded(coding, (folded[n : n + step] for n in range(0, len(folded), step))) == data


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_gzip_file_of_several_members_and_something_behind_them_is_read(step: int) -> None:
    folded = gzip.compress(b"one ") + gzip.compress(b"two") + b"\0" * 9
    assert unfolded("gzip", (folded[n : n + step] for n in range(0, len(folded), step))) == b"one two"


def test_members_without_number_are_not_counted_for_ever() -> None:
    assert unfolded("gzip", [gzip.compress(b"x") * 5000]) == b"x" * 64


@pytest.mark.parametrize("coding, compress", FORMS)
def test_a_bomb_is_not_unfolded(coding: str, compress: Compress) -> None:
    assert unfolded(coding, [compress(BOMB)]) is None


@pytest.mark.parametrize("coding, compress", FORMS)
def test_nor_is_one_that_comes_in_pieces(coding: str, compress: Compress) -> None:
    folded = compress(BOMB)
    assert unfolded(coding, (folded[n : n + 500] for n in range(0, len(folded), 500))) is None


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_what_is_not_folded_at_all_ends_the_reading_and_not_the_stream(coding: str) -> None:
    reader = reader_for("application/json", coding, 200)
    assert reader is not None
    for chunk in (SAID, SAID, b""):
        reader.feed(chunk)
    assert reader.result().source == "unknown"
    assert reader.estimate(0).output_tokens == tokens(2 * len(SAID))


@pytest.mark.parametrize("coding, compress", FORMS)
def test_an_answer_that_the_end_cuts_short_is_read_as_far_as_it_came(coding: str, compress: Compress) -> None:
    reader = reader_for("application/json", coding, 200)
    assert reader is not None
    reader.feed(compress(SAID)[:-3])
    assert reader.result().source in {"measured", "unknown"}


def test_without_its_library_brotli_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brotli", None)
    assert decoder("br") is None
    reader = reader_for("application/json", "br", 200)
    assert reader is not None
    reader.feed(brotli.compress(SAID))
    assert reader.result().source == "unknown"


@pytest.mark.parametrize(
    ("accepted", "readable"),
    [
        ("gzip, deflate, br", "gzip, deflate, br"),
        ("gzip, deflate, br, zstd", "gzip, deflate, br"),
        ("zstd;q=1.0, GZIP;q=0.5", "GZIP;q=0.5"),
        ("zstd", "identity"),
        ("*", "identity"),
        ("", "identity"),
    ],
)
def test_an_agent_is_offered_only_what_can_be_undone(accepted: str, readable: str) -> None:
    assert readable_codings(accepted) == readable
