"""What of the kills and pauses outlives the process: a file beside the journal, replaced as a whole.

A killed agent must not come alive because a process was started anew, so a file that cannot be read hinders the start.
Blocks: whoever writes does so in a thread.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import orjson

from aiogate.errors import AiogateError
from aiogate.journal.disk_sync import force_names
from aiogate.server.halts.halt import Halt

__all__ = ["HALTS_FILE", "read_halts", "write_halts"]

HALTS_FILE: Final = "halts.lines"
_MODE: Final = 0o600


def read_halts(directory: Path) -> list[Halt]:
    """Return what the file has; raises ``AiogateError`` where nobody can tell what is killed."""
    path = directory / HALTS_FILE
    try:
        return [Halt.decode(line) for line in path.read_bytes().splitlines()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, orjson.JSONDecodeError, ValueError) as error:
        msg = f"{path} cannot be read, so nobody knows which agents and callers are killed: {error}; "
        msg += "put it right, or take it away to begin with nothing killed"
        raise AiogateError(msg) from error


def write_halts(directory: Path, halts: Iterable[Halt]) -> None:
    """Put these in the place of what the file has, or leave it as it was and raise ``OSError``."""
    path = directory / HALTS_FILE
    new = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(halt.encode() + b"\n" for halt in halts)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    force_names(directory)
