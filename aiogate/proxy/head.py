"""The head of a message as bytes: first line and headers, checked so that no value can forge another line."""

import re
from typing import Final

from multidict import CIMultiDict

__all__ = ["head_bytes"]

_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def head_bytes(first_line: str, headers: CIMultiDict[str]) -> bytes:
    """Return the head with its empty line (RFC 9112 section 2.1); ValueError for control characters in it.

    What was not UTF-8 when it was read becomes the same bytes again.
    """
    lines = [first_line, *[f"{name}: {value}" for name, value in headers.items()]]
    # isprintable is many times faster than the expression, which has the last word on tabs and on what is not ASCII
    text = "".join(lines)
    if not text.isprintable() and _FORBIDDEN.search(text):
        msg = "control characters in a header"
        raise ValueError(msg)
    lines.append("\r\n")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")
