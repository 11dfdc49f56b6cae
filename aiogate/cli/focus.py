"""Days of usage as rows of FOCUS, the FinOps Open Cost and Usage Specification 1.0; for ``aiogate usage export``.

https://focus.finops.org/focus-specification/v1-0/. Every column that 1.0 asks for is there; what aiogate knows nothing
of is empty. The agents are the services, whoever runs the gateway bills for them.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson

from aiogate.cli.money import dollars
from aiogate.journal.sums import Sums, sums
from aiogate.journal.totals import Totals

__all__ = ["focus_columns", "focus_rows"]

_BY: Final = ("day", "agent", "model", "principal", "department", "cost_center", "key_id", "source")
_EMPTY: Final = (
    "AvailabilityZone",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "ContractedUnitPrice",
    "ListUnitPrice",
    "RegionId",
    "RegionName",
)


def focus_columns() -> tuple[str, ...]:
    """Return the names of the columns, in their order."""
    return tuple(_row({**dict.fromkeys(_BY, ""), "day": "2026-01-01"}, Sums()))


def focus_rows(totals: Totals, since: float, until: float | None = None) -> Iterator[dict[str, object]]:
    """Yield a row for each day, agent, model, caller and cost centre that used something."""
    for key, part in sorted(sums(totals, _BY, since, until).items()):
        named = dict(zip(_BY, key, strict=True))
        if named["agent"] and part.calls > part.refused:
            yield _row(named, part)


def _row(named: dict[str, str], part: Sums) -> dict[str, object]:
    day = datetime.fromisoformat(named["day"]).replace(tzinfo=UTC)
    month = day.replace(day=1)
    cost = dollars(part.cost_nanousd)
    tokens = part.input_tokens + part.output_tokens
    quantity, unit = (tokens, "Tokens") if tokens else (part.calls - part.refused, "Requests")
    agent, model = named["agent"], named["model"]
    unpriced = f"; {part.unpriced} calls are unpriced and not in it" if part.unpriced else ""
    tags = {name: named[name] for name in ("department", "cost_center", "principal") if named[name]}
    return {
        **dict.fromkeys(_EMPTY),
        "BilledCost": cost,
        "BillingAccountId": "aiogate",
        "BillingAccountName": "aiogate",
        "BillingCurrency": "USD",
        "BillingPeriodStart": _moment(month),
        "BillingPeriodEnd": _moment((month + timedelta(days=32)).replace(day=1)),
        "ChargeCategory": "Usage",
        "ChargeClass": None,
        "ChargeDescription": f"calls of {agent}{f', {model}' if model else ''}{unpriced}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _moment(day),
        "ChargePeriodEnd": _moment(day + timedelta(days=1)),
        "ConsumedQuantity": f"{quantity}.0",
        "ConsumedUnit": unit,
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "InvoiceIssuerName": "aiogate",
        "ListCost": cost,
        "PricingCategory": "Standard",
        "PricingQuantity": f"{quantity}.0",
        "PricingUnit": unit,
        "ProviderName": "aiogate",
        "PublisherName": agent,
        "ResourceId": agent,
        "ResourceName": agent,
        "ResourceType": "Agent",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": agent,
        "SkuId": model or agent,
        "SkuPriceId": model or agent,
        "SubAccountId": named["cost_center"] or None,
        "SubAccountName": named["cost_center"] or None,
        "Tags": orjson.dumps(tags).decode(),
        "x_Principal": named["principal"] or None,
        "x_Department": named["department"] or None,
        "x_KeyId": named["key_id"] or None,
        "x_UsageSource": named["source"],
        "x_Calls": part.calls,
        "x_UnpricedCalls": part.unpriced,
        "x_InputTokens": part.input_tokens,
        "x_CachedInputTokens": part.cached_input_tokens,
        "x_OutputTokens": part.output_tokens,
    }


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"
