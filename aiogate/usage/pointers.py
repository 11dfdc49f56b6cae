"""Finds figures where an agent's config says that they stand, by JSON pointers (RFC 6901).

For the readers. Knows no dialect. The pointers have been checked where the config was read.
"""

from collections.abc import Mapping
from typing import Any

from aiogate.exchange import Usage
from aiogate.usage.dialects import Found
from aiogate.usage.figures import judged
from aiogate.usage.recognise import Find

__all__ = ["Pointers", "finder", "markers"]

Pointers = tuple[tuple[str, tuple[str, ...]], ...]
"""Names of figures, each with the steps to it."""


def markers(pointers: Pointers) -> tuple[bytes, ...]:
    """Return texts of which a payload that has a figure has one; none, when every payload has to be looked at."""
    last = [steps[-1] if steps else "" for name, steps in pointers if name != "model"]
    plain = all(step.isascii() and step.replace("_", "").isalnum() and not step.isdecimal() for step in last)
    return tuple(f'"{step}"'.encode() for step in last) if plain else ()


def finder(pointers: Pointers) -> Find:
    """Return what finds these figures in a payload; one that is null or missing was not said."""

    def find(said: Any) -> Found | None:  # noqa: ANN401 - parsed JSON
        figures = {name: value for name, steps in pointers if (value := _at(said, steps)) is not None}
        return (_of_pointers, figures, figures.get("model")) if figures else None

    return find


def _at(said: Any, steps: tuple[str, ...]) -> Any:  # noqa: ANN401 - parsed JSON
    for step in steps:
        if type(said) is dict:
            said = said.get(step)
        elif type(said) is list and step.isdecimal() and step.isascii() and int(step) < len(said):
            said = said[int(step)]
        else:
            return None
    return said


def _of_pointers(figures: Mapping[str, Any], model: object) -> Usage:
    tokens = {name: figure for name, figure in figures.items() if name != "model"}
    return judged(model, **tokens)
