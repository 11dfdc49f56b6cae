"""``roles``: an agent is open to principals who have one of its required roles."""

from aiogate import Agent, Exchange, Principal
from aiogate.builtin.roles import Roles
from tests.exchanges import an_agent, an_exchange

OPEN = an_agent("open")
ANALYTICS = an_agent("analytics", required_roles=frozenset({"analyst", "admin"}))
SUPPORT = an_agent("support", required_roles=frozenset({"agent_user"}))


def walked(*candidates: Agent, roles: frozenset[str] | None = None) -> Exchange:
    principal = None if roles is None else Principal(id="alice", roles=roles)
    exchange = an_exchange(candidates=list(candidates), principal=principal)
    Roles().pre_request(exchange)
    return exchange


def test_one_of_the_required_roles_is_enough() -> None:
    assert walked(ANALYTICS, roles=frozenset({"admin", "agent_user"})).candidates == [ANALYTICS]


def test_an_agent_without_required_roles_is_open_to_everybody() -> None:
    assert walked(OPEN, roles=frozenset()).candidates == [OPEN]


def test_an_agent_whose_roles_the_principal_lacks_is_ruled_out() -> None:
    assert walked(ANALYTICS, OPEN, SUPPORT, roles=frozenset({"agent_user"})).candidates == [OPEN, SUPPORT]
    assert walked(ANALYTICS, SUPPORT, OPEN, roles=frozenset()).candidates == [OPEN]


def test_a_caller_whom_nobody_has_authenticated_has_no_roles() -> None:
    assert walked(OPEN, SUPPORT).candidates == [OPEN]


def test_a_role_is_compared_as_a_whole_and_with_its_case() -> None:
    assert not walked(SUPPORT, roles=frozenset({"AGENT_USER", "agent", "agent_user "})).candidates


def test_the_refusal_names_the_agent_and_the_roles_that_open_it() -> None:
    refusal = walked(ANALYTICS, roles=frozenset()).softest_refusal
    assert refusal is not None
    assert (refusal.status, refusal.code) == (403, "role_required")
    assert refusal.detail == "agent 'analytics' needs the role admin or analyst"


def test_the_plugin_keeps_the_promise_of_required_roles() -> None:
    assert Roles.enforces == {"required_roles"}
