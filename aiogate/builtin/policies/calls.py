"""Finds the calls of our functions in the text of a condition, so that they can be asked before it.

cel-expr-python 0.1.3 leaks the arguments of every function of Python's that it calls, a third of a kilobyte each time;
so it calls none: each call is taken out of the text, its arguments are evaluated, and its result is a value like any
other. Knows how CEL writes texts and comments, and no more of CEL.
"""

import re
from collections.abc import Collection, Iterator
from typing import Final

import attrs

__all__ = ["Call", "calls_in"]

_TOKEN: Final = re.compile(
    r"""
    (?P<comment>//[^\n]*)
    |(?P<text>
        (?:[bB]?[rR][bB]?)(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')
        |[bB]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    )
    |(?P<word>\w+)
    |(?P<sign>\S)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")


@attrs.frozen
class Call:
    """A call in a text: where it begins and ends, and where each of its arguments does."""

    name: str
    start: int
    end: int
    arguments: tuple[tuple[int, int], ...]


def calls_in(text: str, names: Collection[str]) -> Iterator[Call]:
    """Yield the calls of functions of these names in a condition that is in order; those within another are its own."""
    tokens = [token for token in _TOKEN.finditer(text) if token.lastgroup != "comment"]
    position = 0
    for index, token in enumerate(tokens):
        is_call = token["word"] in names and [after["sign"] for after in tokens[index + 1 : index + 2]] == ["("]
        if is_call and token.start() >= position:
            *ends, end = _ends(tokens[index + 1 :])
            starts = [tokens[index + 1].end(), *(comma + 1 for comma in ends)]
            position = end + 1
            yield Call(token["word"], token.start(), position, tuple(zip(starts, [*ends, end], strict=True)))


def _ends(tokens: list[re.Match[str]]) -> Iterator[int]:
    """Yield where the arguments end behind an opening bracket: at each comma, and at the closing bracket."""
    depth = 0
    for token in tokens:
        sign = token["sign"]
        depth += (sign in _OPENING) - (sign in _CLOSING)
        if depth == 0 or (depth == 1 and sign == ","):
            yield token.start()
        if depth == 0:
            return
