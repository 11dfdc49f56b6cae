"""What is counted of the exchanges of one agent; plain numbers, of which ``metrics.py`` makes what Prometheus reads.

No principal, no key and no path is ever in here: what a client chooses would grow without end. Names that come from
plugins or from a model are kept up to a bound, and are ``other`` beyond it.
"""

from bisect import bisect_left
from typing import Final

import attrs

from aiogate.claims import Quota
from aiogate.exchange import Exchange, Outcome, Usage
from aiogate.proxy.failed_calls import FAILURES

__all__ = ["OTHER", "AgentNumbers", "Histogram", "count", "kept"]

_DURATION_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_OVERHEAD_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25)
_GAP_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_RESULTS: Final = tuple(f"{hundreds}xx" for hundreds in range(10))
_MOST_NAMES: Final = 200
OTHER: Final = "other"


class Histogram:
    """Counts by bucket, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulated buckets as Prometheus has them."""
        cumulated, so_far = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            so_far += count
            cumulated.append((bound, float(so_far)))
        return cumulated


@attrs.define
class AgentNumbers:
    """What is known of the exchanges of one agent.

    Args:
        ends: by outcome and status.
        refusals: by code and rule.
        attempts: requests that were sent to it, by what came of them.
        classes: tokens by a class that is part of the input or of the output.
        admitted: by the name of the limit or budget that had enough left.
    """

    ends: dict[tuple[str, int], int] = attrs.field(factory=dict)
    duration: Histogram = attrs.field(factory=lambda: Histogram(_DURATION_SECONDS))
    first_byte: Histogram = attrs.field(factory=lambda: Histogram(_DURATION_SECONDS))
    overhead: Histogram = attrs.field(factory=lambda: Histogram(_OVERHEAD_SECONDS))
    gap: Histogram = attrs.field(factory=lambda: Histogram(_GAP_SECONDS))
    input_tokens: int = 0
    output_tokens: int = 0
    classes: dict[str, int] = attrs.field(factory=dict)
    cost_nanousd: int = 0
    unpriced: int = 0
    refusals: dict[tuple[str, str], int] = attrs.field(factory=dict)
    attempts: dict[str, int] = attrs.field(factory=dict)
    admitted: dict[str, int] = attrs.field(factory=dict)
    shadow_denials: dict[str, int] = attrs.field(factory=dict)
    failed_calls: dict[str, int] = attrs.field(factory=dict)


def kept(name: str, known: dict[str, int]) -> str:
    """Return a name that may be counted by: one that is known, or ``other`` where there are too many."""
    return name if name in known or len(known) < _MOST_NAMES else OTHER


def count(numbers: AgentNumbers, exchange: Exchange) -> None:  # noqa: C901 - what is not there costs one look
    """Count an exchange that has ended; of what an ordinary one does not have nothing is looked at twice."""
    end = (exchange.outcome or "", exchange.status)
    numbers.ends[end] = numbers.ends.get(end, 0) + 1
    started, forwarded = exchange.started, exchange.forwarded
    first_byte, answered = exchange.first_byte, exchange.answered
    if exchange.ended is not None:
        numbers.duration.add(exchange.ended - started)
    if forwarded is not None and answered is not None and first_byte is not None:
        numbers.overhead.add(forwarded - started + answered - first_byte)
        numbers.first_byte.add(answered - started)
    if exchange.longest_gap is not None:
        numbers.gap.add(exchange.longest_gap)
    if exchange.quotas and exchange.grant is not None:
        _count_quotas(numbers.admitted, exchange.quotas)
    if first_byte is not None and not exchange.attempts:
        result = _RESULTS[exchange.status // 100]
        numbers.attempts[result] = numbers.attempts.get(result, 0) + 1
    elif forwarded is not None:
        _count_attempts(numbers, exchange)
    if exchange.refusal is not None:
        _count_refusal(numbers, exchange.refusal.code, exchange.refusal.rule or "")
    if exchange.call_failure is not None:
        reason = exchange.call_failure if exchange.call_failure in FAILURES else OTHER
        numbers.failed_calls[reason] = numbers.failed_calls.get(reason, 0) + 1
    for rule in exchange.shadow_rules:
        name = kept(rule, numbers.shadow_denials)
        numbers.shadow_denials[name] = numbers.shadow_denials.get(name, 0) + 1
    usage = exchange.usage
    if usage.source != "unknown":
        _count_tokens(numbers, usage)
        numbers.unpriced += exchange.cost_nanousd is None
    numbers.cost_nanousd += exchange.cost_nanousd or 0


def _count_quotas(admitted: dict[str, int], quotas: tuple[Quota, ...]) -> None:
    """Count the limits that had enough left; those that had not are among the refusals."""
    for quota in quotas:
        name = quota[0].name
        try:
            admitted[name] += 1
        except KeyError:
            name = kept(name, admitted)
            admitted[name] = admitted.get(name, 0) + 1


def _count_refusal(numbers: AgentNumbers, code: str, rule: str) -> None:
    which = code, rule
    if which not in numbers.refusals and len(numbers.refusals) >= _MOST_NAMES:
        which = OTHER, OTHER
    numbers.refusals[which] = numbers.refusals.get(which, 0) + 1


def _count_attempts(numbers: AgentNumbers, exchange: Exchange) -> None:
    """Count what came of each request to the agent: the class of the status, or why there was none."""
    if exchange.attempts:
        results = [
            one.code or OTHER if one.status is None else f"{one.status // 100}xx"
            for one in exchange.attempts
            if one.agent is exchange.agent
        ]
    elif exchange.outcome is Outcome.UPSTREAM_FAILED and exchange.refusal is not None:
        results = [exchange.refusal.code]
    else:
        results = ["unanswered"]
    for result in results:
        name = kept(result, numbers.attempts)
        numbers.attempts[name] = numbers.attempts.get(name, 0) + 1


def _count_tokens(numbers: AgentNumbers, usage: Usage) -> None:
    numbers.input_tokens += usage.input_tokens or 0
    numbers.output_tokens += usage.output_tokens or 0
    classes = numbers.classes
    if tokens := usage.cached_input_tokens:
        classes["cached_input"] = classes.get("cached_input", 0) + tokens
    if tokens := usage.cache_write_tokens:
        classes["cache_write"] = classes.get("cache_write", 0) + tokens
    if tokens := usage.reasoning_tokens:
        classes["reasoning"] = classes.get("reasoning", 0) + tokens
    if tokens := usage.input_audio_tokens:
        classes["input_audio"] = classes.get("input_audio", 0) + tokens
    if tokens := usage.output_audio_tokens:
        classes["output_audio"] = classes.get("output_audio", 0) + tokens
