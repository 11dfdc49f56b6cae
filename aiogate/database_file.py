"""Makes the file of a database for its user alone, before SQLite makes it for everybody.

Knows nothing of what is in it.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["make_private"]

_MODE: Final = 0o600


def make_private(path: Path) -> None:
    """Make an empty file if there is none; raises ``OSError``.

    One that is there is not opened: closing any descriptor of a file ends all locks that its process holds on it
    (POSIX, fcntl), and with them those of the connections of other threads, behind SQLite's back.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _MODE))
