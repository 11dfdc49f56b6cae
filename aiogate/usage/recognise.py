"""Finds the figures in one parsed payload, whichever dialect it speaks or the config names.

For the readers. Knows the dialects by name only, and nothing of bytes.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from aiogate.usage.a2a import find_a2a
from aiogate.usage.dialects import (
    Found,
    find_anthropic,
    find_gemini,
    find_ollama,
    find_openai,
    of_message_start,
    of_ollama,
    of_openai,
)

__all__ = ["DIALECTS", "Find", "find", "merged"]

Find = Callable[[Any], Found | None]
"""Looks for figures in one parsed payload."""


def find(said: Any) -> Found | None:  # noqa: ANN401 - parsed JSON
    """Return the figures in a payload of any dialect, or None when it states none."""
    if type(said) is not dict:
        return _in_all(said, find)
    figures = said.get("usage")
    if type(figures) is dict and "prompt_tokens" in figures:  # most answers; the rest may take longer
        return of_openai, figures, said.get("model")
    return find_anthropic(said) or find_openai(said) or find_gemini(said) or find_ollama(said) or find_a2a(said)


def merged(before: Found | None, after: Found | None) -> Found | None:
    """Return what a stream has said after one more payload: the last word, but for those that speak in several parts.

    Anthropic gives the input first and the output at the end, Google some figures here and others there. All of theirs
    are running totals, so that the later one counts.
    """
    if before is None or after is None:
        return after or before
    judge, figures, model = after
    if judge is of_openai or judge is of_ollama or (judge is not before[0] and before[0] is not of_message_start):
        return after
    told = {name: figure for name, figure in figures.items() if figure is not None}
    return judge, {**before[1], **told}, model or before[2]


def _in_all(said: Any, finder: Find) -> Found | None:  # noqa: ANN401 - parsed JSON
    """Return what a stream says that comes as one array, as Google's does without ``alt=sse``."""
    found: Found | None = None
    for item in said if type(said) is list else ():
        if type(item) is dict:
            found = merged(found, finder(item))
    return found


def _named(finder: Callable[[Mapping[str, Any]], Found | None]) -> Find:
    """Return a finder of one dialect for whatever JSON there is."""

    def find_one(said: Any) -> Found | None:  # noqa: ANN401 - parsed JSON
        return finder(said) if type(said) is dict else _in_all(said, finder)

    return find_one


DIALECTS: Final[Mapping[str, Find]] = {
    "openai": _named(find_openai),
    "anthropic": _named(find_anthropic),
    "gemini": _named(find_gemini),
    "ollama": _named(find_ollama),
    "a2a": _named(find_a2a),
}
