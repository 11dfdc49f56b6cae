"""The head of a request to an agent: which headers go on, and which would forge another line."""

import pytest
from multidict import CIMultiDict

from aiogate import Agent
from aiogate.errors import UpstreamError
from aiogate.exchange import Principal
from aiogate.proxy.headers import clean_request
from aiogate.proxy.upstream.endpoint import endpoint_for
from aiogate.proxy.upstream.envelope import Callers, Envelope
from tests.exchanges import an_exchange

AGENT = Agent(id="support", url="http://agent.example:9001/base")


def lines(**headers: str) -> list[str]:
    """Return the lines of the head for a request with these headers, whose names may have underscores."""
    exchange = an_exchange(request_headers=CIMultiDict(headers))
    return Envelope(AGENT, endpoint_for(AGENT)).head(exchange, "", "").decode().split("\r\n")


def test_headers_keep_their_spelling_and_their_order() -> None:
    """What the agent gets is what the client wrote, behind the request line and the agent's own host."""
    found = lines(accept="a/b", Zeta="1", Beta="2")
    assert found[1:5] == ["Host: agent.example:9001", "accept: a/b", "Zeta: 1", "Beta: 2"]


def test_framing_and_names_of_ours_stay_behind_in_either_spelling() -> None:
    """A header that aiogate writes itself does not go on, nor one that CGI would take for it."""
    found = [line.partition(":")[0] for line in lines(Content_Length="3", X_User_Id="root", Host="h", Keep_Alive="5")]
    assert {"Content_Length", "X_User_Id", "Keep_Alive"}.isdisjoint(found)
    assert found.count("Host") == 1


@pytest.mark.parametrize("headers", [{"a": "b\r\nc: d"}, {"a": "b\nc"}, {"a": "b\0"}, {"a\r\nb": "c"}])
def test_a_header_that_would_be_two_lines_goes_nowhere(headers: dict[str, str]) -> None:
    """Control characters, which a plugin may have put there, are refused each time."""
    envelope = Envelope(AGENT, endpoint_for(AGENT))
    for _ in range(2):
        with pytest.raises(UpstreamError, match="control characters"):
            envelope.head(an_exchange(request_headers=CIMultiDict(headers)), "", "")


def test_more_names_than_are_remembered_are_judged_as_the_first_were() -> None:
    """Strangers who make up names push nothing through, neither before the plugins nor behind them."""
    envelope = Envelope(AGENT, endpoint_for(AGENT))
    for number in range(5_000):
        made_up = CIMultiDict({f"X-Made-Up-{number}": "1", "X-User-Roles": "root", "Via": "1.0 x"})
        head = envelope.head(an_exchange(request_headers=made_up), "", "")
        assert head.count(b"X-Made-Up") == 1
        assert b"root" not in head
        assert clean_request(made_up) == ["X-User-Roles"]
        assert list(made_up) == [f"X-Made-Up-{number}", "Via"]


def test_callers_whose_lines_are_long_are_not_remembered() -> None:
    """Tokens may carry as many roles as they like: what is kept of ten thousand callers has a bound."""
    callers = Callers()
    few = Principal(id="ada", roles=frozenset({"reader"}))
    many = Principal(id="ada", roles=frozenset(f"role-{number:04}" for number in range(400)))
    assert callers.lines(few) is callers.lines(few) == "X-User-Id: ada\r\nX-User-Roles: reader\r\n"
    assert callers.lines(many) == callers.lines(many)
    assert callers.lines(many) is not callers.lines(many)
    assert callers.lines(many).count("role-") == 400
