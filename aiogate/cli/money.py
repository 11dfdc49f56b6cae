"""Money as people and programs read it, out of nano-dollars; what is unpriced is never $0."""

from typing import Final

from aiogate.journal.sums import Sums

__all__ = ["dollars", "money"]

_NANO: Final = 1_000_000_000
_LARGE_NANOUSD: Final = 100 * _NANO
_SMALL_NANOUSD: Final = _NANO // 20_000


def money(part: Sums) -> str:
    """Return what something cost for a person: two digits from a hundred dollars on, four below.

    A ``+`` says that some calls have no price; where none has any, it says so.
    """
    nanousd = part.cost_nanousd
    if part.unpriced and not nanousd:
        return "unpriced"
    more = " +" if part.unpriced else ""
    if 0 < nanousd < _SMALL_NANOUSD:
        return f"<$0.0001{more}"
    return f"${nanousd / _NANO:,.{2 if nanousd >= _LARGE_NANOUSD else 4}f}{more}"


def dollars(nanousd: int) -> str:
    """Return nano-dollars as dollars for a program, exactly."""
    whole, rest = divmod(nanousd, _NANO)
    return f"{whole}.{rest:09}".rstrip("0").removesuffix(".")
