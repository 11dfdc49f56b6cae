"""Judges figures that an agent has given: sound ones become a ``Usage``, others an error that says which and why.

For every dialect. Knows neither JSON texts nor where a dialect keeps its figures.
"""

import reprlib
from typing import Any, Final

from aiogate.exchange import Usage

__all__ = ["MAX_TOKENS", "AbsurdError", "count", "judged"]

MAX_TOKENS: Final = 10**12
_MAX_MODEL_CHARACTERS: Final = 256
_SOUND: Final = frozenset({int, type(None)})
"""Exact types of figures: a bool is an int, too."""
_NAMES: Final = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
)


class AbsurdError(Exception):
    """A figure that no agent can mean, or figures that cannot all be true."""


def judged(  # noqa: PLR0913, PLR0917 - the classes of tokens; one call, since every answer makes it
    model: object,
    input_tokens: Any = None,  # noqa: ANN401 - whatever stood in the JSON
    output_tokens: Any = None,  # noqa: ANN401
    cached_input_tokens: Any = None,  # noqa: ANN401
    cache_write_tokens: Any = None,  # noqa: ANN401
    cache_write_1h_tokens: Any = None,  # noqa: ANN401
    reasoning_tokens: Any = None,  # noqa: ANN401
    input_audio_tokens: Any = None,  # noqa: ANN401
    output_audio_tokens: Any = None,  # noqa: ANN401
    source: str = "measured",
) -> Usage:
    """Return the figures as a usage; raises ``AbsurdError``.

    A figure is None (not said) or an integer from 0 to ``MAX_TOKENS``. Cached and written input are parts of the input
    that exclude each other, the writes for an hour a part of all writes, reasoning a part of the output, audio a part
    of either. Without input and output the usage is unknown.
    """
    figures = (
        input_tokens,
        output_tokens,
        cached_input_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        reasoning_tokens,
        input_audio_tokens,
        output_audio_tokens,
    )
    if not _SOUND.issuperset(map(type, figures)):
        raise AbsurdError(_shown(figures))
    whole_in, whole_out, cached = input_tokens or 0, output_tokens or 0, cached_input_tokens or 0
    written, hour = cache_write_tokens or 0, cache_write_1h_tokens or 0
    reasoning, audio, speech = reasoning_tokens or 0, input_audio_tokens or 0, output_audio_tokens or 0
    if (
        whole_in > MAX_TOKENS
        or whole_out > MAX_TOKENS
        or (whole_in | whole_out | cached | written | hour | reasoning | audio | speech) < 0  # one of them is
        or cached + written > whole_in
        or hour > written
        or reasoning > whole_out
        or audio > whole_in
        or speech > whole_out
    ):
        raise AbsurdError(_shown(figures))
    if input_tokens is None and output_tokens is None:
        return Usage()
    return Usage(
        source=source,
        model=model if type(model) is str and 0 < len(model) <= _MAX_MODEL_CHARACTERS else None,
        input_tokens=input_tokens,
        cached_input_tokens=cached_input_tokens,
        cache_write_tokens=cache_write_tokens,
        cache_write_1h_tokens=cache_write_1h_tokens,
        input_audio_tokens=input_audio_tokens,
        output_tokens=output_tokens,
        reasoning_tokens=reasoning_tokens,
        output_audio_tokens=output_audio_tokens,
    )


def count(figure: Any) -> int:  # noqa: ANN401 - whatever stood in the JSON
    """Return a figure that sums are made with, 0 where it was not said; raises ``AbsurdError``."""
    if figure is None:
        return 0
    if type(figure) is not int or not 0 <= figure <= MAX_TOKENS:
        msg = f"a figure is {reprlib.repr(figure)}"
        raise AbsurdError(msg)
    return figure


def _shown(figures: tuple[object, ...]) -> str:
    said = (
        f"{name} {reprlib.repr(figure)}" for name, figure in zip(_NAMES, figures, strict=True) if figure is not None
    )
    return ", ".join(said)
