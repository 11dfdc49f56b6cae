"""What the person before ``aiogate top`` has asked for: an order, a filter, a line that is marked, a kill.

Keys go in, at most one thing to do comes out. Pure: what is to be done others do.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import attrs

__all__ = ["ORDERS", "Board", "Kill", "Quit"]

ORDERS: Final[Mapping[str, str]] = {
    "age": "age_seconds",
    "tokens": "output_tokens",
    "spent": "spent_nanousd",
    "held": "held_nanousd",
    "bytes": "bytes_out",
    "silent": "silent_seconds",
}
"""By what exchanges can be ordered, each with the fact; most first."""
_ENTER: Final = "enter"
_ESCAPE: Final = "escape"
_BACK: Final = "backspace"
_MOST_CHARACTERS: Final = 120


@attrs.frozen
class Kill:
    """End this exchange, for this reason."""

    request_id: str
    reason: str


@attrs.frozen
class Quit:
    """End the program."""


@attrs.define
class Board:
    """What is shown how.

    Args:
        order: one of ``ORDERS``.
        wanted: what agent, principal, department, path or id of an exchange has in it.
        marked: the id of the exchange that a kill would be for.
        asking: what is being typed, and ``typed`` so far.
        said: the last answer to what was done, for the bottom line.
    """

    order: str = "age"
    wanted: str = ""
    marked: str | None = None
    asking: Literal["filter", "reason"] | None = None
    typed: str = ""
    said: str = ""
    _shown: list[str] = attrs.field(factory=list)

    def ordered(self, exchanges: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the exchanges that are wanted, in their order; mark the first where the marked one has ended."""
        fact, wanted = ORDERS[self.order], self.wanted.lower()
        found = [one for one in exchanges if not wanted or wanted in _text(one)]
        found.sort(key=lambda one: (-(one[fact] or 0), one["request_id"]))
        self._shown = [one["request_id"] for one in found]
        if self.marked not in self._shown:
            self.marked = self._shown[0] if self._shown and self.asking != "reason" else self.marked
        return found

    def press(self, key: str) -> Kill | Quit | None:
        """Do what a key asks for."""
        if key == "ctrl-c":
            return Quit()
        if self.asking is not None:
            return self._type(key)
        self.said = ""
        match key:
            case "q":
                return Quit()
            case "s":
                orders = list(ORDERS)
                self.order = orders[(orders.index(self.order) + 1) % len(orders)]
            case "/":
                self.asking, self.typed = "filter", self.wanted
            case "escape":
                self.wanted = ""
            case "down" | "j":
                self._move(1)
            case "up":
                self._move(-1)
            case "k" if self.marked is not None:
                self.asking, self.typed = "reason", ""
            case _:
                pass
        return None

    def _type(self, key: str) -> Kill | None:
        if key == _ESCAPE:
            self.asking = None
        elif key == _BACK:
            self.typed = self.typed[:-1]
        elif len(key) == 1 and key.isprintable():
            self.typed = (self.typed + key)[:_MOST_CHARACTERS]
        elif key == _ENTER:
            return self._entered()
        return None

    def _entered(self) -> Kill | None:
        asked, text = self.asking, self.typed.strip()
        if asked == "filter":
            self.asking, self.wanted = None, text
            return None
        if not text:
            self.said = "a kill needs a reason: it is in the journal, and callers are told"
            return None
        self.asking = None
        return None if self.marked is None else Kill(self.marked, text)

    def _move(self, steps: int) -> None:
        if not self._shown:
            return
        at = self._shown.index(self.marked) if self.marked in self._shown else 0
        self.marked = self._shown[max(0, min(len(self._shown) - 1, at + steps))]


def _text(one: Mapping[str, Any]) -> str:
    names = ("agent", "principal", "department", "path", "request_id", "phase")
    return " ".join(str(one[name]) for name in names if one.get(name)).lower()
