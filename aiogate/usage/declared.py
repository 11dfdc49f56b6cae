"""Reads what an agent declares in its response's headers: tokens, model, cost.

For agents whose config says ``usage = "declared"``; anybody else's headers are not looked at. Knows no HTTP beyond the
mapping that it is given.
"""

import logging
import re
import reprlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from aiogate.exchange import Usage
from aiogate.usage.figures import AbsurdError, judged

__all__ = ["declared"]

_TOKENS: Final = re.compile(r"[0-9]{1,15}")
_USD: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,18})?")
_HEADERS: Final = {
    "input_tokens": "X-Usage-Input-Tokens",
    "output_tokens": "X-Usage-Output-Tokens",
    "cached_input_tokens": "X-Usage-Cached-Input-Tokens",
    "cache_write_tokens": "X-Usage-Cache-Write-Tokens",
    "reasoning_tokens": "X-Usage-Reasoning-Tokens",
}
_COST: Final = "X-Usage-Cost-Usd"
_MODEL: Final = "X-Usage-Model"
_NANO_DIGITS: Final = 9
_logger: Final = logging.getLogger(__name__)


def declared(headers: Mapping[str, str]) -> tuple[Usage, int | None] | None:
    """Return what is declared and its cost in nano-dollars, where that is declared as well; None without such headers.

    Tokens are decimal integers, dollars decimal numbers without sign and exponent. One that is not makes all of it
    unknown, with the raw text in the log.
    """
    said = {name: headers[header] for name, header in _HEADERS.items() if header in headers}
    usd = headers.get(_COST)
    if not said and usd is None:
        return None
    model = headers.get(_MODEL)
    try:
        usage = judged(model, source="declared", **{name: _tokens(text) for name, text in said.items()})
        cost_nanousd = None if usd is None else _nanousd(usd)
    except AbsurdError as absurd:
        _logger.warning("usage declared for model %s is unknown: %s", reprlib.repr(model), absurd)
        return Usage(), None
    return (Usage(source="declared", model=model) if usage.source == "unknown" else usage), cost_nanousd


def _tokens(text: str) -> int:
    if not _TOKENS.fullmatch(text.strip()):
        raise AbsurdError(reprlib.repr(text))
    return int(text)


def _nanousd(text: str) -> int:
    """Return dollars as nano-dollars, rounded half up."""
    if not _USD.fullmatch(text.strip()):
        raise AbsurdError(reprlib.repr(text))
    return int(Decimal(text).scaleb(_NANO_DIGITS) + Decimal("0.5"))
