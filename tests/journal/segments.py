"""Segments that no gateway wrote, for tests of those who read them."""

import os
from pathlib import Path
from typing import Any

import orjson


def a_record(number: int, second: int = 0, **facts: Any) -> dict[str, Any]:
    return {"time": f"2026-01-01T12:{second // 60:02}:{second % 60:02}.000Z", "n": number, **facts}


def lines(*records: dict[str, Any]) -> bytes:
    return b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records)


def write(path: Path, content: bytes, modified: float | None = None) -> Path:
    """Append to a segment; ``modified`` is the time of its last change, in seconds since 1970."""
    with path.open("ab") as file:
        file.write(content)
    if modified is not None:
        os.utime(path, (modified, modified))
    return path


def numbers(records: Any) -> list[int]:
    return [record["n"] for record in records]
