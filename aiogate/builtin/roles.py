"""``roles``: an agent is open to principals who have one of its required roles.

Uses public names alone, as a third party would.
"""

from aiogate import Exchange, hookimpl, refusal

__all__ = ["Roles"]


class Roles:
    """Rules out candidates that the principal's roles do not open."""

    enforces = frozenset({"required_roles"})

    @hookimpl
    def pre_request(self, exchange: Exchange) -> None:
        """Keep the candidates that ask for no role or for one that the principal has."""
        roles = exchange.principal.roles if exchange.principal is not None else frozenset[str]()
        for agent in tuple(exchange.candidates):
            if agent.required_roles and roles.isdisjoint(agent.required_roles):
                needed = " or ".join(sorted(agent.required_roles))
                exchange.rule_out(agent, refusal("role_required", f"agent {agent.id!r} needs the role {needed}"))
