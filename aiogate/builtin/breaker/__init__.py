"""``breaker``: an agent that keeps failing is left alone, and tried now and then until it is back.

Five failures in a row within a minute open an agent's circuit: for 30 seconds its callers get 503 ``agent_unavailable``
with ``Retry-After`` and the agent gets nothing. Then one exchange goes through as a probe; it closes the circuit or
opens it again, for twice as long. Uses public names alone, as a third party would. ::

    [plugins.breaker]
    failures = 5
    window_seconds = 60
    open_seconds = 30
    max_open_seconds = 300
    honor_retry_after = true             # a 429 or 529 with Retry-After pauses the agent for everybody

    [plugins.breaker.agents.support]     # what is different for one agent
    failures = 3

An exchange counts once for each agent that it was sent to, by how it ended there: a retry that helped is a success, and
attempts on several endpoints are no more failures than one. Failures each process counts for itself; with a ``[state]``
that gateways share a circuit that one opens is open for all within a second, what an operator says of one is said to
all, and of all of them one exchange is the probe.
"""

from aiogate.builtin.breaker.circuit import Hold, Phase
from aiogate.builtin.breaker.circuits import Status
from aiogate.builtin.breaker.plugin import Breaker
from aiogate.builtin.breaker.settings import AgentPolicy, BreakerConfig, Policy

__all__ = ["AgentPolicy", "Breaker", "BreakerConfig", "Hold", "Phase", "Policy", "Status"]
