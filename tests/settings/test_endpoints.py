"""Several endpoints, retries, probes and fallbacks, as a config writes them."""

import pytest

from aiogate import Health, Retry
from tests.settings.conftest import IN_ORDER, Load, Refuse

ONE = IN_ORDER.replace('url = "', 'urls = ["http://one", "http://other/base/"]\n#"')


def test_an_agent_has_one_url_or_several(load: Load) -> None:
    agent = load(ONE).agents["support"]
    assert (agent.url, agent.urls) == ("http://one", ("http://one", "http://other/base"))
    assert load(IN_ORDER).agents["support"].urls == ()
    assert (agent.is_resilient, load(IN_ORDER).agents["support"].is_resilient) == (True, False)


@pytest.mark.parametrize(
    "text, problem",
    [
        (ONE + 'url = "http://a"\n', "agents.support.urls: give url or urls, not both"),
        (ONE.replace("http://other/base/", "http://one"), "agents.support.urls[1]: is there twice"),
        (ONE.replace('"http://one", "http://other/base/"', ""), "agents.support.urls: expected at least one URL"),
        (ONE.replace("http://one", "ftp://one"), "agents.support.urls[0]: expected a URL such as"),
        (ONE.replace("urls", "tags"), "agents.support.url: is required"),
        (ONE + 'retry = { on = ["501"] }\n', "agents.support.retry.on[0]: expected one of 'connect'"),
        (ONE + "retry = { attempts = 0 }\n", "agents.support.retry.attempts: "),
        (ONE + 'health = { path = "healthz" }\n', "agents.support.health.path: "),
        (ONE + 'health = { interval = "soon" }\n', "agents.support.health.interval: expected a duration such as '5s'"),
        (ONE + 'health = { timeout = "0s" }\n', "agents.support.health.timeout: "),
        (ONE + 'ca_file = "ca.pem"\n', "agents.support.ca_file: "),
    ],
)
def test_what_cannot_be_is_refused(problems: Refuse, text: str, problem: str) -> None:
    assert any(one.startswith(problem) for one in problems(text))


def test_retries_and_probes_are_told_in_a_line(load: Load) -> None:
    lines = (
        'retry = { attempts = 3, on = ["connect", "503"], unsafe = true }\nhealth = { path = "/up", interval = "1m" }\n'
    )
    agent = load(ONE + lines).agents["support"]
    assert agent.retry == Retry(attempts=3, on=frozenset({"connect", "503"}), unsafe=True)
    assert agent.health is not None
    assert (agent.health.path, agent.health.interval, agent.health.timeout) == ("/up", 60.0, Health().timeout)


def with_fallbacks(**names: str) -> str:
    tables = "".join(f'[agents.{agent}]\nurl = "http://a"\nfallback = {names[agent]}\n' for agent in names)
    return IN_ORDER + tables


def test_a_fallback_has_to_be_an_agent(problems: Refuse) -> None:
    [problem] = problems(with_fallbacks(a='["suport"]'))
    assert problem.startswith("agents.a.fallback[0]: there is no agent 'suport'; did you mean 'support'?")


def test_fallbacks_must_not_go_round_in_circles(problems: Refuse) -> None:
    found = problems(with_fallbacks(a='["b"]', b='["support", "c"]', c='["a"]', d='["d"]', e='["a"]'))
    assert [problem.partition(":")[0] for problem in found] == [
        "agents.a.fallback[0]",
        "agents.b.fallback[1]",
        "agents.c.fallback[0]",
        "agents.d.fallback[0]",
    ]
