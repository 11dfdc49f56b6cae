"""How many exchanges of each principal are under way, so that none takes the whole gateway.

Counts in this process alone, whatever the plugins limit besides; callers whom nobody knows are not one principal.
"""

from typing import Final

import attrs

from aiogate.errors import Refused, refusal
from aiogate.exchange import ANONYMOUS, Exchange

__all__ = ["SHUTTING_DOWN", "TOO_MANY_EXCHANGES", "Crowd"]

TOO_MANY_EXCHANGES: Final = refusal("too_many_exchanges", "the gateway has as many exchanges under way as it may have")
SHUTTING_DOWN: Final = refusal("shutting_down", "the gateway is stopping; another one may be there in a moment")


@attrs.define
class Crowd:
    """Exchanges that have entered and not left; one that has not entered may leave."""

    _by_principal: dict[str, int] = attrs.field(factory=dict)
    _inside: dict[str, str] = attrs.field(factory=dict)

    def enter(self, exchange: Exchange, most: int) -> None:
        """Count the exchange; raises ``Refused`` (429) when ``most`` of its principal are inside already."""
        principal = exchange.principal
        if principal is None or principal is ANONYMOUS:
            return
        count = self._by_principal.get(principal.id, 0)
        if count >= most:
            detail = f"{most} exchanges of this principal are under way, which is as many as may be"
            raise Refused(refusal("concurrency_limited", detail, rule="max_exchanges_per_principal"))
        self._by_principal[principal.id] = count + 1
        self._inside[exchange.id] = principal.id

    def leave(self, exchange: Exchange) -> None:
        """Count it no more."""
        principal_id = self._inside.pop(exchange.id, None)
        if principal_id is None:
            return
        count = self._by_principal[principal_id] - 1
        if count:
            self._by_principal[principal_id] = count
        else:
            del self._by_principal[principal_id]
