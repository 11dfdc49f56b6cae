"""How far a long command has come, on a terminal alone; scripts are told nothing."""

import sys
from collections.abc import Callable

__all__ = ["progress"]

_MEGA = 1_000_000


def progress(what: str) -> Callable[[int, int], None]:
    """Return what shows how many bytes are done, and of how many, on one line of stderr."""
    shown = -1

    def show(done: int, whole: int) -> None:
        nonlocal shown
        percent = 100 * done // max(1, whole)
        if percent == shown or not sys.stderr.isatty():
            return
        shown = percent
        end = "\n" if done >= whole else ""
        sys.stderr.write(f"\r{what}: {percent:3} % of {whole / _MEGA:,.1f} MB{end}")
        sys.stderr.flush()

    return show
