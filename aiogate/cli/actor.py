"""Who runs a command, for the journal."""

import getpass
import os

__all__ = ["current_actor"]


def current_actor() -> str:
    """Return the user's name; in a container whose user has none, its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError since Python 3.13
        return f"uid {os.getuid()}"
