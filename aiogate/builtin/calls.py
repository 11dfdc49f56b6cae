"""``calls``: which method of A2A or MCP an exchange calls, and which tool, for rules that go by it.

For configs in which an agent has ``method_roles``, or a limit is for methods or tools; behind ``api_keys``, ahead of
``limits``. It reads the body of a call, 1 MiB at most, and refuses what does not say clearly what it calls. Uses public
names alone, as a third party would. ::

    [agents.support]
    url = "http://support-agent:8001"
    protocol = "a2a"
    required_role = "agent_user"
    method_roles = { CancelTask = "operator" }      # besides required_role
"""

from aiogate import Exchange, Refused, hookimpl, refusal

__all__ = ["Calls"]


class Calls:
    """Says what is called, and rules out candidates whose method needs a role that the principal lacks."""

    enforces = frozenset({"method_roles"})
    tells_calls = True

    @hookimpl
    async def pre_request(self, exchange: Exchange) -> None:
        """Read the call as each candidate's protocol has it; agents without a protocol cost nothing."""
        for agent in tuple(exchange.candidates):
            if agent.protocol is None or exchange.unavailable is not None:
                continue
            call = await exchange.read_call(agent.protocol)
            if call.unclear:
                raise Refused(refusal("bad_request", f"the request does not say clearly what it calls: {call.unclear}"))
            exchange.call = call
            needed = agent.method_roles.get(call.method)
            if needed is not None and (exchange.principal is None or needed not in exchange.principal.roles):
                detail = f"{call.method} of agent {agent.id!r} needs the role {needed}"
                exchange.rule_out(agent, refusal("role_required", detail))
