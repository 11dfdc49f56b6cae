"""Secrets that a config holds itself, in the place of a reference to them; for whoever would give it to others.

Knows them by the names of their keys, as ``show.py`` does, and by where a URL has its password.
"""

import re
from collections.abc import Iterator
from typing import Final

from aiogate.errors import Problem
from aiogate.settings.faults import Place, dotted
from aiogate.settings.show import CREDENTIAL

__all__ = ["plain_secrets"]

_HASH: Final = re.compile(r"(?:.*_)?sha256", re.IGNORECASE)
_PASSWORD: Final = re.compile(r"://[^/@\s:]*:[^/@\s]+@")
_REFERENCE: Final = re.compile(r"(?<!\$)\$\{")


def plain_secrets(tables: object, place: Place = ()) -> Iterator[Problem]:
    """Yield what should be a reference, in tables of which none was resolved."""
    if isinstance(tables, dict):
        for key, value in tables.items():
            yield from plain_secrets(value, (*place, key))
    elif isinstance(tables, list):
        for index, value in enumerate(tables):
            yield from plain_secrets(value, (*place, index))
    elif isinstance(tables, str) and _is_secret(tables, str(place[-1]) if place else ""):
        message = "is a secret, which everybody could read who reads the store: write a reference, such as ${NAME}"
        yield Problem(dotted(place), message)


def _is_secret(text: str, name: str) -> bool:
    if _REFERENCE.search(text) or not text:
        return False
    named = CREDENTIAL.fullmatch(name) is not None and _HASH.fullmatch(name) is None
    return named or _PASSWORD.search(text) is not None
