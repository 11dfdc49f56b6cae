"""Reads a response the slow and obvious way, for tests that ask whether somebody else would read the same."""

import re

import attrs

_LINE = re.compile(rb"HTTP/(1\.[01]) ([0-9]{3})(?: [^\r\n]*)?")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_SIZE = re.compile(rb"([0-9A-Fa-f]+)(?:[ \t]*;[^\r\n]*)?")


@attrs.frozen
class Read:
    """A final response; ``rest`` is what comes behind it; ``keeps_alive`` tells that more may follow after it."""

    status: int
    body: bytes
    rest: bytes
    keeps_alive: bool


def reading(wire: bytes, *, is_head: bool) -> Read:
    """Return what all that an agent has sent before it hung up says; AssertionError when it is no response."""
    status = 100
    while 100 <= status < 200 and status != 101:
        head, end, wire = wire.lstrip(b"\r\n").partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        line = _LINE.fullmatch(first)
        assert end and line, f"no head: {head!r}"
        status = int(line[2])
    fields = [(name.lower(), value.lower()) for name, value in map(_field, lines)]
    wishes = [wish.strip() for name, value in fields if name == b"connection" for wish in value.split(b",")]
    keeps_alive = b"close" not in wishes and (line[1] == b"1.1" or b"keep-alive" in wishes)
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    if is_head or status in (204, 304):
        return Read(status, b"", wire, keeps_alive)
    if codings:
        assert (codings, lengths) == ([b"chunked"], [])
        body, rest = _chunks(wire)
        return Read(status, body, rest, keeps_alive)
    if lengths and status != 101:
        [digits] = lengths
        assert digits.isdigit() and len(wire) >= int(digits)
        return Read(status, wire[: int(digits)], wire[int(digits) :], keeps_alive)
    return Read(status, wire, b"", keeps_alive=False)


def _chunks(wire: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        line, end, wire = wire.partition(b"\r\n")
        size = _SIZE.fullmatch(line)
        assert end and size, f"no chunk: {line!r}"
        length = int(size[1], 16)
        if not length:
            break
        body += wire[:length]
        assert wire[length : length + 2] == b"\r\n"
        wire = wire[length + 2 :]
    while not wire.startswith(b"\r\n"):
        line, end, wire = wire.partition(b"\r\n")
        assert end
        _field(line)
    return body, wire[2:]


def _field(line: bytes) -> tuple[bytes, bytes]:
    field = _FIELD.fullmatch(line)
    assert field, f"no field: {line!r}"
    return field[1], field[2]
