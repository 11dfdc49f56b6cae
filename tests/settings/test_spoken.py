"""What a config may say of agents that speak a protocol, and of where clients call."""

import pytest

from tests.settings.conftest import IN_ORDER, Load, Refuse


def test_what_such_an_agent_may_have(load: Load) -> None:
    speaks = 'protocol = "a2a"\ncard_urls = ["https://support.example/a2a/"]\nrewrite_card = false\n'
    settings = load(f'server.public_url = "https://gw.example/base"\n{IN_ORDER}{speaks}')
    agent = settings.agents["support"]
    assert (agent.protocol, agent.rewrite_card, agent.card_urls) == ("a2a", False, ("https://support.example/a2a",))
    assert settings.server.public_url == "https://gw.example/base"


@pytest.mark.parametrize(
    "line, complaint",
    [
        ('protocol = "acp"', "protocol: "),
        ('card_urls = ["https://x"]', "card_urls: is for agents with protocol = 'a2a'"),
        ('protocol = "mcp"\nrewrite_card = false', "rewrite_card: is for agents with protocol = 'a2a'"),
        ('protocol = "a2a"\ncard_urls = ["https://x?y"]', "card_urls[0]: expected a URL such as"),
        ('method_roles = { CancelTask = "operator" }', "method_roles: "),
    ],
)
def test_what_it_may_not(problems: Refuse, line: str, complaint: str) -> None:
    assert any(f"agents.support.{complaint}" in problem for problem in problems(f"{IN_ORDER}{line}\n"))


@pytest.mark.parametrize(
    "url", ["gw.example", "ftp://gw.example", "https://u:p@gw.example", "https://gw.example/?a", ""]
)
def test_a_public_address_that_is_none(problems: Refuse, url: str) -> None:
    [problem] = problems(f'server.public_url = "{url}"\n{IN_ORDER}')
    assert problem.startswith("server.public_url: expected a URL such as 'https://gateway.example.com'")
    assert "u:p" not in problem


def test_cards_need_an_address_where_the_gateway_listens_everywhere(load: Load, problems: Refuse) -> None:
    everywhere = 'server.listen = "0.0.0.0:8080"\n'
    assert load(everywhere + IN_ORDER)
    [problem] = problems(f'{everywhere}{IN_ORDER}protocol = "a2a"\n')
    assert problem.startswith("server.public_url: is needed for the cards of agent 'support': where clients call")
    assert load(f'{everywhere}server.public_url = "https://gw.example"\n{IN_ORDER}protocol = "a2a"\n')
    assert load(f'{everywhere}{IN_ORDER}protocol = "a2a"\nrewrite_card = false\n')
