"""Chunks that two parsers could read in two ways (RFC 9112 section 7.1)."""

from tests.e2e.hostile.framing import SMUGGLED
from tests.e2e.hostile.request import Hostile, post


def chunked(
    name: str, sent: bytes, *, body: bytes | None = None, optional: bool = False, ends: bool = False
) -> Hostile:
    """A request whose body comes in these chunks."""
    raw = post(b"Transfer-Encoding: chunked", body=sent)
    return Hostile(name=f"chunk {name}", raw=raw, body=body, optional=optional, ends=ends)


END = b"0\r\n\r\n"
HELLO = b"hello"

REQUESTS = (
    chunked("with an extension", b"5;a=b\r\nhello\r\n" + END, body=HELLO, optional=True),
    chunked("with a quoted extension", b'5;a="b;c"\r\nhello\r\n' + END, body=HELLO, optional=True),
    chunked("with a long extension", b"5;" + b"a" * 20_000 + b"\r\nhello\r\n" + END, body=HELLO, optional=True),
    chunked("with a LF in an extension", b"5;a\nhello\r\n" + END),
    chunked("with a CR in an extension", b"5;a\rb\r\nhello\r\n" + END),
    chunked("with a NUL in an extension", b"5;a\0\r\nhello\r\n" + END),
    chunked("with a request in an extension", b"5;a=\r\n\r\n" + SMUGGLED + END),
    chunked("with a space after its size", b"5 \r\nhello\r\n" + END, body=HELLO, optional=True),
    chunked("with a space before its size", b" 5\r\nhello\r\n" + END),
    chunked("with 0x", b"0x5\r\nhello\r\n" + END),
    chunked("with a plus", b"+5\r\nhello\r\n" + END),
    chunked("of negative size", b"-5\r\nhello\r\n" + END),
    chunked("with an underscore", b"0_5\r\nhello\r\n" + END),
    chunked("of no size", b"\r\nhello\r\n" + END),
    chunked("whose size is a word", b"xyz\r\nhello\r\n" + END),
    chunked("of more than 64 bits", b"1" + b"0" * 16 + b"5\r\nhello\r\n" + END),
    chunked("of 64 bits", b"f" * 16 + b"\r\nhello", ends=True),
    chunked("with leading zeros", b"0000000005\r\nhello\r\n" + END, body=HELLO, optional=True),
    chunked("with a hundred leading zeros", b"0" * 100 + b"5\r\nhello\r\n" + END, body=HELLO, optional=True),
    chunked("without its line end", b"5\r\nhello" + END),
    chunked("longer than its size", b"3\r\nhello\r\n" + END),
    chunked("shorter than its size", b"8\r\nhello\r\n" + END),
    chunked("that ends in LF", b"5\r\nhello\n" + END),
    chunked("lines that end in LF", b"5\nhello\n0\n\n"),
    chunked("size line that ends in CR", b"5\rhello\r\n" + END),
    chunked("that is the last, of many zeros", b"5\r\nhello\r\n0000\r\n\r\n", body=HELLO, optional=True),
    chunked("with capitals", b"A\r\nhellohello\r\n" + END, body=HELLO * 2),
    chunked(
        "that holds an end and a request",
        b"%x\r\n%b\r\n" % (len(END + SMUGGLED), END + SMUGGLED) + END,
        body=END + SMUGGLED,
    ),
    chunked("trailer", b"5\r\nhello\r\n0\r\nX-User-Id: admin\r\nContent-Length: 50\r\n\r\n", body=HELLO, optional=True),
    chunked("trailer without a colon", b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n"),
    chunked("trailer with a space before its colon", b"5\r\nhello\r\n0\r\nX : y\r\n\r\n"),
    chunked("trailer that is folded", b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n", body=HELLO, optional=True),
    chunked("trailer of 100 KB", b"5\r\nhello\r\n0\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"),
    chunked("trailer that never ends", b"5\r\nhello\r\n0\r\nX: y\r\n", ends=True),
    chunked("that never ends", b"50\r\nhello", ends=True),
    chunked("size that never ends", b"5\r\nhello\r\n1", ends=True),
    chunked("last one missing", b"5\r\nhello\r\n", ends=True),
    chunked("last one half", b"5\r\nhello\r\n0\r\n", ends=True),
    chunked("over the bound", b"493e0\r\n" + b"q" * 300_000 + b"\r\n" + END),
    chunked("bad one after 100 KB", b"186a0\r\n" + b"q" * 100_000 + b"\r\nxyz\r\n" + END),
)
