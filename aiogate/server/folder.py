"""The directories that a gateway has while it runs, and those that killed ones have left.

Where the workers of one supervisor find each other, and where a config lies that comes out of a store. A lock says that
somebody is at home: whoever makes a directory takes it, workers have it by the fork, and it goes with the last of them,
however they end.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["clear_away", "hold", "made_folder"]

_PREFIX: Final = "aiogate-"
_SHORT: Final = "/tmp"  # noqa: S108 - the name in it is made by mkdtemp
_LOCK: Final = "at-home.lock"
_LONGEST: Final = 80
"""A Unix socket's path has at most 107 bytes, 103 on macOS; its name takes a few of them."""


def made_folder() -> Path:
    """Return a new directory that this user alone can enter, with a path that is short enough for sockets in it."""
    made = Path(tempfile.mkdtemp(prefix=_PREFIX))
    if len(str(made)) > _LONGEST:
        made.rmdir()
        made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_SHORT))
    return made


def hold(folder: Path) -> int:
    """Return a descriptor of the folder's lock: while any process has it open, nobody clears the folder away."""
    new = folder / f"{_LOCK}.new"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    new.rename(folder / _LOCK)  # it is never there without being held
    return descriptor


def clear_away() -> None:
    """Remove the folders of this user in which nobody is at home any more; what was never held is left alone."""
    for place in {Path(tempfile.gettempdir()), Path(_SHORT)}:
        for folder in place.glob(f"{_PREFIX}*"):
            with suppress(OSError):  # it goes, or is somebody else's
                if not folder.is_symlink() and folder.stat().st_uid == os.geteuid():
                    _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    """Raise ``OSError`` where it has no lock, or somebody holds it."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)
