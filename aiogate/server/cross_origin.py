"""Whether a request comes from a web page that may send it, by the rules of the agent that it is for, or the server's.

For the gateway: preflights are answered here, before anybody is authenticated, and leave no record; every other answer
gets its header lines from here.
"""

from collections.abc import Mapping
from typing import Final

from multidict import CIMultiDict, istr

from aiogate.agent import Agent, Cors
from aiogate.errors import Refusal, problem_body, problem_headers, refusal
from aiogate.proxy.cors import CorsRules
from aiogate.proxy.inbound import Inbound
from aiogate.proxy.target import Target

__all__ = ["CrossOrigin"]

_ORIGIN: Final = istr("Origin")
_ASKED_METHOD: Final = istr("Access-Control-Request-Method")
_ASKED_HEADERS: Final = istr("Access-Control-Request-Headers")
_MOST_SHOWN: Final = 100


class CrossOrigin:
    """The rules of one config.

    Args:
        server: for whatever names no agent with rules of its own; None: nothing is said there.
        agents: by id.
    """

    def __init__(self, server: Cors | None, agents: Mapping[str, Agent]) -> None:
        """Compile them."""
        self._server = CorsRules(server) if server is not None else None
        self._agents = {name: CorsRules(agent.cors) for name, agent in agents.items() if agent.cors is not None}
        self.are_there = self._server is not None or bool(self._agents)
        """Whether there is any rule; without, nobody needs to ask."""

    def lines(self, inbound: Inbound, target: Target) -> str:
        """Return the header lines of the answer to a request, each with CRLF before it; ``""``: there is no rule."""
        rules = self._rules(target)
        return "" if rules is None else rules.lines(inbound.headers.get(_ORIGIN))

    def preflight(self, inbound: Inbound, target: Target) -> tuple[int, CIMultiDict[str], bytes] | None:
        """Return status, headers and body of the answer to a preflight; None: the request is none, or has no rule."""
        if inbound.method != "OPTIONS" or _ASKED_METHOD not in inbound.headers:
            return None
        rules, origin = self._rules(target), inbound.headers.get(_ORIGIN)
        if rules is None or origin is None:
            return None
        if not rules.may_call(origin):
            refused = refusal("origin_not_allowed", f"pages of {origin[:_MOST_SHOWN]!r} may not call here: see cors")
            return _problem(refused, target)
        asked = inbound.headers[_ASKED_METHOD], inbound.headers.get(_ASKED_HEADERS, "")
        return 204, CIMultiDict(rules.preflight(origin, *asked)), b""

    def _rules(self, target: Target) -> CorsRules | None:
        return self._agents.get(target.agent_id or "", self._server)


def _problem(refused: Refusal, target: Target) -> tuple[int, CIMultiDict[str], bytes]:
    headers = CIMultiDict(problem_headers(refused))
    headers["Vary"] = "Origin"
    return refused.status, headers, problem_body(refused, "", target.full_path)
