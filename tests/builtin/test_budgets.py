"""``budgets``: what a config may say, which counters an exchange is charged to, and when periods begin."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiogate import Counted, Measure, Principal
from aiogate.builtin.budgets import Budgets, BudgetsConfig
from aiogate.builtin.budgets.periods import period_at
from aiogate.errors import SettingsError
from aiogate.pipeline.discover import InstalledPlugins
from aiogate.settings.load import load_settings
from aiogate.settings.structure import Structurer
from tests.builtin.spending import NOON
from tests.exchanges import an_agent, an_exchange

ALICE = Principal(id="alice", roles=frozenset({"analyst", "agent_user"}), department="data", key_id="k-alice")
BOB = Principal(id="bob", roles=frozenset({"agent_user"}), department="sales", cost_center="travel")


def structured(*budgets: dict[str, Any], **facts: Any) -> tuple[BudgetsConfig | None, list[str]]:
    problems: list[object] = []
    table = {"budget": [{"name": f"b{index}", "period": "day", **one} for index, one in enumerate(budgets)], **facts}
    config = Structurer(Path()).structure(table, BudgetsConfig, "plugins.budgets", problems.append)
    return config, [str(problem) for problem in problems]


def claims_of(*budgets: dict[str, Any], who: Principal | None = ALICE, agent: str = "support") -> list[Any]:
    config, problems = structured(*budgets)
    assert config is not None, problems
    exchange = an_exchange(principal=who, agent=an_agent(agent, cost_center="house"), started_wall=NOON)
    return list(Budgets(config).claims(exchange))


def counters(budget: dict[str, Any], *whos: Principal | None, agents: tuple[str, ...] = ("support",)) -> set[str]:
    return {claim.counter for who in whos for agent in agents for claim in claims_of(budget, who=who, agent=agent)}


# the config


@pytest.mark.parametrize(
    "budget, problem",
    [
        ({}, "budget[0]: expected usd, tokens or both"),
        ({"tokens": 0}, "budget[0].tokens: expected 1 to 9007199254740991, got 0"),
        ({"usd": 0}, "budget[0].usd: expected more than 0 and at most 9007199 dollars, got 0"),
        ({"usd": -5}, "budget[0].usd: expected more than 0"),
        ({"usd": 10_000_000}, "budget[0].usd: expected more than 0 and at most 9007199 dollars"),
        ({"tokens": 5, "period": "year"}, "budget[0].period: "),
        ({"tokens": 5, "timezone": "Berlin"}, "budget[0].timezone: expected a time zone such as 'Europe/Berlin'"),
        ({"tokens": 5, "per": ["departmen"]}, "did you mean 'department'?"),
        ({"tokens": 5, "match": {"rol": "x"}}, "did you mean 'role'?"),
        ({"tokens": 5, "warn_at": [80]}, "budget[0].warn_at: expected parts of the budget such as 0.8, got 80"),
        ({"tokens": 5, "slice_tokens": 6}, "budget[0]: a slice of tokens is larger than the budget"),
        ({"tokens": 5, "on_exhausted": "stop"}, "budget[0].on_exhausted: "),
        ({"tokens": 5, "name": "a b"}, "budget[0].name: expected 1 to 64 letters"),
    ],
    ids=str,
)
def test_a_mistake_is_a_problem_with_its_path(budget: dict[str, Any], problem: str) -> None:
    [found] = structured(budget)[1]
    assert found.startswith("plugins.budgets.budget")
    assert problem in found


def test_two_budgets_of_one_name_are_refused() -> None:
    assert "'b' is the name of two budgets" in structured({"name": "b", "usd": 1}, {"name": "b", "usd": 2})[1][0]


def problems_of(tmp_path: Path, plugins: str, tail: str) -> list[str]:
    path = tmp_path / "gateway.toml"
    path.write_text(
        f'[server]\nanonymous = true\n[pipeline]\nplugins = [{plugins}]\n[agents.support]\nurl = "http://a:1"\n{tail}'
    )
    with pytest.raises(SettingsError) as raised:
        load_settings(path, InstalledPlugins(), {})
    return [f"{problem.path}: {problem.message}" for problem in raised.value.problems]


def test_a_budget_that_nobody_measures_is_refused(tmp_path: Path) -> None:
    table = '[[plugins.budgets.budget]]\nname = "b"\nusd = 5\nperiod = "day"\n'
    assert problems_of(tmp_path, '"budgets"', table) == [
        'plugins.budgets.budget[0].usd: no plugin in pipeline.plugins finds out what is spent: add "cost"'
    ]


def test_a_limit_on_tokens_that_nobody_measures_is_refused(tmp_path: Path) -> None:
    table = 'token_limit = "5/minute"\n[[plugins.limits.limit]]\nname = "t"\ntokens = "5/minute"\n'
    assert problems_of(tmp_path, '"limits"', table) == [
        'agents.support.token_limit: is set, but no plugin in pipeline.plugins enforces it: add "cost"',
        'plugins.limits.limit[0].tokens: no plugin in pipeline.plugins finds out how many they are: add "cost"',
    ]


def test_a_budget_for_an_agent_that_there_is_not_is_refused(tmp_path: Path) -> None:
    table = '[[plugins.budgets.budget]]\nname = "b"\nusd = 5\nperiod = "day"\nmatch = { agent = "suport" }\n'
    assert problems_of(tmp_path, '"budgets", "cost"', table) == [
        "plugins.budgets.budget[0].match.agent: there is no agent 'suport'; did you mean 'support'?"
    ]


@pytest.mark.parametrize(
    "budget, slices",
    [
        ({"usd": 500}, {Measure.NANOUSD: 10_000_000}),
        ({"usd": Decimal("0.1")}, {Measure.NANOUSD: 1_000_000}),
        ({"tokens": 50}, {Measure.TOKENS: 1}),
        ({"tokens": 10_000_000, "usd": 1}, {Measure.NANOUSD: 10_000_000, Measure.TOKENS: 1000}),
        ({"usd": 5, "slice_usd": Decimal("2.5")}, {Measure.NANOUSD: 2_500_000_000}),
    ],
    ids=str,
)
def test_a_slice_is_small_against_its_budget(budget: dict[str, Any], slices: dict[Measure, int]) -> None:
    config, _ = structured(budget)
    assert config is not None
    assert {measure: config.budget[0].slice_of(measure) for measure in slices} == slices


# whose counters


def test_a_budget_is_claimed_by_its_name_for_the_period_that_the_exchange_began_in() -> None:
    [claim] = claims_of({"name": "team", "usd": 5, "timezone": "Europe/Berlin"})
    assert (claim.name, claim.kind, claim.limit, claim.measure) == (
        "budget:team",
        Counted.PERIOD,
        5_000_000_000,
        Measure.NANOUSD,
    )
    assert claim.period.starts == datetime(2026, 11, 27, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    assert claim.period.ends - claim.period.starts == 86_400


def test_a_budget_may_say_what_becomes_of_it_without_redis() -> None:
    [claim] = claims_of({"usd": 5, "on_state_error": "refuse"})
    assert claim.on_state_error == "refuse"
    assert claims_of({"usd": 5})[0].on_state_error is None


def test_money_and_tokens_of_one_budget_are_two_counters() -> None:
    money, tokens = claims_of({"name": "team", "usd": 5, "tokens": 7})
    assert (money.limit, tokens.limit) == (5_000_000_000, 7)
    assert money.counter != tokens.counter
    assert money.name != tokens.name


@pytest.mark.parametrize(
    "per, count",
    [([], 1), (["principal"], 2), (["department"], 2), (["role"], 2), (["cost_center"], 1), (["key"], 2)],
    ids=str,
)
def test_each_value_of_per_has_a_counter(per: list[str], count: int) -> None:
    assert len(counters({"tokens": 9, "per": per}, ALICE, BOB)) == count


def test_each_combination_has_a_counter() -> None:
    budget = {"tokens": 9, "per": ["department", "agent"]}
    assert len(counters(budget, ALICE, BOB, agents=("support", "search"))) == 4


@pytest.mark.parametrize(
    "match, fits",
    [
        ({"principal": "alice"}, [True, False]),
        ({"department": ["data", "x"]}, [True, False]),
        ({"role": "agent_user"}, [True, True]),
        ({"cost_center": "house"}, [True, True]),
        ({"cost_center": "travel"}, [False, False]),
        ({"key": "k-alice", "agent": "support"}, [True, False]),
        ({"agent": "search"}, [False, False]),
    ],
    ids=str,
)
def test_a_budget_is_for_what_fits_in_everything_given(match: dict[str, Any], fits: list[bool]) -> None:
    assert [bool(counters({"tokens": 9, "match": match}, who)) for who in (ALICE, BOB)] == fits


def test_a_caller_whom_nobody_has_authenticated_is_charged_too() -> None:
    assert len(claims_of({"tokens": 9}, who=None)) == 1


def test_no_name_leads_to_the_counter_of_another() -> None:
    names = ["alice", "alice', 'support", "None", "", "alice\\", "\udcff"]
    whos = [Principal(id=name, department=name) for name in names] + [Principal(id="x")]
    assert len(counters({"tokens": 9, "per": ["principal", "department"]}, *whos)) == len(whos)


def test_accounts_are_looked_up_once_a_period_and_forgotten_after_it() -> None:
    config, _ = structured({"tokens": 9, "per": ["principal"]})
    assert config is not None
    accounts = Budgets(config)._accounts
    agent, people = an_agent("support"), [Principal(id=str(number)) for number in range(50)]
    today = [accounts.of(one, agent, NOON) for one in people]
    assert [accounts.of(one, agent, NOON + 60) for one in people] == today
    tomorrow = [accounts.of(one, agent, NOON + 86_400) for one in people]
    assert not set(map(id, sum(today, ()))) & set(map(id, sum(tomorrow, ())))
    accounts.of(people[0], agent, NOON + 3 * 86_400)
    assert len(list(accounts)) == 1


# the calendar

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Beirut", "America/Sao_Paulo", "Pacific/Apia")
MOMENTS = st.floats(datetime(2001, 1, 1, tzinfo=UTC).timestamp(), datetime(2036, 1, 1, tzinfo=UTC).timestamp())


@given(st.sampled_from(["hour", "day", "week", "month"]), st.sampled_from(ZONES), MOMENTS)
@example("day", "UTC", 1041379199.9999998)
def test_periods_follow_each_other_without_a_gap(kind: str, zone: str, moment: float) -> None:
    tz = ZoneInfo(zone)
    period = period_at(kind, tz, moment)
    assert period.starts <= moment < period.ends
    assert period_at(kind, tz, period.starts) == period
    assert period_at(kind, tz, period.ends).starts == period.ends


@given(st.sampled_from(["hour", "day", "week", "month"]), MOMENTS)
def test_a_moment_is_in_its_period_where_clocks_go_by_half_hours(kind: str, moment: float) -> None:
    period = period_at(kind, ZoneInfo("Australia/Lord_Howe"), moment)
    assert period.starts <= moment < period.ends


@pytest.mark.parametrize(
    "kind, moment, starts, hours",
    [
        ("day", "2026-03-29T12:00+02:00", "2026-03-29T00:00+01:00", 23),
        ("day", "2026-10-25T12:00+01:00", "2026-10-25T00:00+02:00", 25),
        ("week", "2026-11-29T23:59+01:00", "2026-11-23T00:00+01:00", 168),
        ("month", "2026-02-28T23:59+01:00", "2026-02-01T00:00+01:00", 672),
        ("hour", "2026-10-25T02:30+01:00", "2026-10-25T02:00+01:00", 1),
        ("hour", "2026-10-25T02:30+02:00", "2026-10-25T02:00+02:00", 1),
    ],
)
def test_periods_are_those_of_the_calendar(kind: str, moment: str, starts: str, hours: int) -> None:
    period = period_at(kind, ZoneInfo("Europe/Berlin"), datetime.fromisoformat(moment).timestamp())
    assert period.starts == datetime.fromisoformat(starts).timestamp()
    assert period.ends - period.starts == hours * 3600
