"""Agent cards: each address of an interface becomes the gateway's or goes, all others stay."""

from typing import Any

import orjson
import pytest

from aiogate.proxy.agent_card import CardError, Places, card_in

PLACES = Places("https://gw.example/base", "support", ("http://support:8001/a2a", "https://support.example"))
HERE = "https://gw.example/base/agents/support"


def rewritten(card: dict[str, Any], *, in_result: bool = False) -> Any:
    said = {"jsonrpc": "2.0", "id": 1, "result": card} if in_result else card
    moved = orjson.loads(card_in(orjson.dumps(said), PLACES, in_result=in_result))
    return moved["result"] if in_result else moved


@pytest.mark.parametrize(
    "url, moved",
    [
        ("http://support:8001/a2a", HERE),
        ("http://support:8001/a2a/", HERE + "/"),
        ("HTTP://Support:8001/a2a/rpc?x=%2F#y", HERE + "/rpc?x=%2F#y"),
        ("https://support.example:443/v1", HERE + "/v1"),
        ("/a2a/rpc", HERE + "/rpc"),
        ("/rpc", HERE + "/rpc"),
        (HERE + "/rpc", HERE + "/rpc"),
        ("https://gw.example/base/rpc", HERE + "/rpc"),
        ("https://gw.example/base/agents/other/", "https://gw.example/base/agents/other/"),
        ("http://support:8001//evil.example/", None),
        ("http://support:8001/a2a-not", None),
        ("http://support:8001/a2a/../other", None),
        ("http://support:8001/a2a/%2e%2E/other", None),
        ("http://support:8002/a2a", None),
        ("https://support:8001/a2a", None),
        ("http://support:8001@evil.example/a2a", None),
        ("http://evil.example\\@support:8001/a2a", None),
        ("http://support.evil.example:8001/a2a", None),
        ("//evil.example/a2a", None),
        ("support:8001", None),
        ("rpc", None),
        ("http://[", None),
        (7, None),
        (None, None),
    ],
)
def test_an_address_leads_to_the_gateway_or_nowhere(url: object, moved: str | None) -> None:
    assert PLACES.moved(url) == moved


def test_a_card_of_1_0_has_only_interfaces_that_the_gateway_serves() -> None:
    elsewhere = "http://other.example/"
    card = {
        "name": "s",
        "provider": {"url": "https://vendor.example"},
        "documentationUrl": "http://other.example/docs",
        "iconUrl": "http://support:8001/a2a/icon.png",
        "supportedInterfaces": [
            {
                "url": "http://support:8001/a2a/rpc",
                "protocolBinding": "JSONRPC",
                "protocolVersion": "1.0",
                "tenant": "t",
            },
            {"url": elsewhere, "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"},
            {"url": "http://support:8001/a2a", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
            {"url": "http://support:8001/a2a", "protocolBinding": "HTTP+JSON", "protocolVersion": "0.3"},
        ],
        "signatures": [{"protected": "x", "signature": "y"}],
    }
    moved = rewritten(card)
    assert moved == {
        **{name: said for name, said in card.items() if name != "signatures"},
        "supportedInterfaces": [
            {"url": HERE + "/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "t"},
            {"url": HERE, "protocolBinding": "HTTP+JSON", "protocolVersion": "0.3"},
        ],
    }
    assert rewritten(card, in_result=True) == moved


def test_a_card_of_0_3_names_another_interface_first_where_its_first_leads_elsewhere() -> None:
    others = [
        {"url": "http://other.example/", "transport": "JSONRPC"},
        {"url": "http://support:8001/a2a/v1", "transport": "HTTP+JSON"},
    ]
    moved = rewritten({"url": "http://other.example/", "preferredTransport": "JSONRPC", "additionalInterfaces": others})
    assert moved == {
        "url": HERE + "/v1",
        "preferredTransport": "HTTP+JSON",
        "additionalInterfaces": [{"url": HERE + "/v1", "transport": "HTTP+JSON"}],
    }
    assert rewritten({"url": "http://support:8001/a2a/", "version": "1"}) == {"url": HERE + "/", "version": "1"}


def test_no_spelling_of_a_member_gets_round() -> None:
    inside, outside = {"url": "http://support:8001/a2a"}, {"url": "http://other.example"}
    assert rewritten({"supported_interfaces": [outside, inside], "signatures": []}) == {
        "supported_interfaces": [{"url": HERE}]
    }
    assert rewritten({"Additional_Interfaces": [inside, {**inside, "URL": "http://other.example"}], "Url": "/"}) == {
        "Additional_Interfaces": [{"url": HERE}],
        "Url": HERE + "/",
    }
    with pytest.raises(CardError):
        rewritten({"URL": "http://other.example", "SupportedInterfaces": [outside]})


@pytest.mark.parametrize(
    "card",
    [
        {"url": "http://other.example/"},
        {"url": "http://support:8001/a2a", "preferredTransport": "GRPC"},
        {"supportedInterfaces": [{"url": "http://other.example/"}]},
        {"supportedInterfaces": "http://support:8001/a2a"},
        {"name": "without any"},
    ],
)
def test_a_card_that_leads_nowhere_here_is_refused_and_says_what_to_do(card: dict[str, Any]) -> None:
    with pytest.raises(CardError, match=r"agents\.support\.card_urls"):
        rewritten(card)


def test_what_is_no_card_is_refused_and_an_error_is_not() -> None:
    for body in (b"", b"[]", b"{", "\ufeff{}".encode("utf-16")):
        with pytest.raises(CardError):
            card_in(body, PLACES, in_result=False)
    error = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32007,"message":"none"}}'
    assert card_in(error, PLACES, in_result=True) == error
    with pytest.raises(CardError):
        card_in(b'{"jsonrpc":"2.0","url":"http://other.example"}', PLACES, in_result=True)


def test_a_path_on_the_agents_origin_leads_through_the_gateway() -> None:
    assert PLACES.path("/a2a/messages/?session_id=1") == "/base/agents/support/messages/?session_id=1"
    assert PLACES.path("/messages?x=/a2a") == "/base/agents/support/messages?x=/a2a"
    assert PLACES.path("/base/agents/support/messages") == "/base/agents/support/messages"


def test_a_card_that_is_nested_too_deep_is_refused() -> None:
    card = b'{"url": "/a2a", "x": %b%b}' % (b"[" * 300, b"]" * 300)
    with pytest.raises(CardError, match="cannot be written"):
        card_in(card, PLACES, in_result=False)


@pytest.mark.parametrize(
    "location, stays",
    [
        ("http://support:8001/a2a/card.json", True),
        ("/base/agents/support/card.json", True),
        ("card.json", True),
        ("https://gw.example/elsewhere", True),
        ("https://evil.example/a2a/card.json", False),
        ("//evil.example/card.json", False),
        ("/\\evil.example/card.json", False),
        ("http://[", False),
    ],
)
def test_a_redirect_to_a_card_stays_or_is_known_to_leave(location: str, stays: bool) -> None:
    assert PLACES.keeps(location, "/.well-known/agent-card.json") is stays
