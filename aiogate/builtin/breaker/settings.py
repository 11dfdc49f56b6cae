"""``[plugins.breaker]``: when an agent counts as broken, and for how long it is left alone.

For the plugin and its circuits. Knows neither exchanges nor clocks.
"""

from collections.abc import Mapping

import attrs

__all__ = ["AgentPolicy", "BreakerConfig", "Policy"]

_positive = attrs.validators.gt(0.0)
_at_least_one = attrs.validators.ge(1)


@attrs.frozen(kw_only=True)
class Policy:
    """How one agent is judged.

    Args:
        failures: so many in a row open the breaker, all of them within ``window_seconds``.
        window_seconds: the most that may lie between the first and the last of these failures.
        open_seconds: how long it stays open the first time.
        max_open_seconds: each time that it opens again without a success in between it stays open twice as long, up to
            this; a fifth of it, at most, is taken off at random, so that several gateways do not probe at once.
        honor_retry_after: leave an agent alone, for all callers, as long as its 429 or 529 says in ``Retry-After``.
        max_pause_seconds: the most that ``Retry-After`` can ask for.
    """

    failures: int = attrs.field(default=5, validator=_at_least_one)
    window_seconds: float = attrs.field(default=60.0, validator=_positive)
    open_seconds: float = attrs.field(default=30.0, validator=_positive)
    max_open_seconds: float = attrs.field(default=300.0, validator=_positive)
    honor_retry_after: bool = False
    max_pause_seconds: float = attrs.field(default=3600.0, validator=_positive)

    def __attrs_post_init__(self) -> None:
        """Refuse a ceiling below the first step."""
        if self.max_open_seconds < self.open_seconds:
            msg = f"max_open_seconds: expected at least open_seconds, {self.open_seconds:g}"
            raise ValueError(msg)


@attrs.frozen(kw_only=True)
class AgentPolicy:
    """``[plugins.breaker.agents.<id>]``: what is different for one agent; the rest is as for all. See ``Policy``."""

    failures: int | None = attrs.field(default=None, validator=attrs.validators.optional(_at_least_one))
    window_seconds: float | None = attrs.field(default=None, validator=attrs.validators.optional(_positive))
    open_seconds: float | None = attrs.field(default=None, validator=attrs.validators.optional(_positive))
    max_open_seconds: float | None = attrs.field(default=None, validator=attrs.validators.optional(_positive))
    honor_retry_after: bool | None = None
    max_pause_seconds: float | None = attrs.field(default=None, validator=attrs.validators.optional(_positive))


@attrs.frozen(kw_only=True)
class BreakerConfig(Policy):
    """``[plugins.breaker]``: for all agents, and under ``agents`` for single ones.

    Args:
        agents: what is different for single agents, by id.
    """

    agents: Mapping[str, AgentPolicy] = attrs.field(factory=dict, hash=False)

    def __attrs_post_init__(self) -> None:
        """Refuse what only shows when an agent's own settings meet those for all."""
        super().__attrs_post_init__()
        for agent_id in self.agents:
            try:
                self.policy(agent_id)
            except ValueError as error:
                msg = f"agents: {agent_id}.{error}"
                raise ValueError(msg) from error

    def policy(self, agent_id: str) -> Policy:
        """Return how an agent is judged."""
        given = {field.name: getattr(self, field.name) for field in attrs.fields(Policy)}
        own = self.agents.get(agent_id)
        if own is not None:
            given |= {name: value for name, value in attrs.asdict(own).items() if value is not None}
        return Policy(**given)
