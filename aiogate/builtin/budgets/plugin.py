"""The ``budgets`` plugin: claims what an exchange may cost before it is sent, and stops what runs out of money.

For configs that name it. See the package for what a config looks like.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final

from aiogate import (
    Agent,
    AiogateError,
    Claim,
    Counted,
    Exchange,
    Gateway,
    Measure,
    Observer,
    Quota,
    State,
    Usage,
    hookimpl,
)
from aiogate.builtin.budgets.accounts import Account, Accounts, BudgetReport
from aiogate.builtin.budgets.meter import Line, Meter, held_of
from aiogate.builtin.budgets.origin import keep_up, resume
from aiogate.builtin.budgets.settings import BudgetsConfig
from aiogate.builtin.estimates import Asked, Measures, asked_of, estimate, measures_of
from aiogate.builtin.subjects import NOBODY
from aiogate.usage import ESTIMATE, HELD, is_stream

__all__ = ["Budgets"]

_log: Final = logging.getLogger(__name__)
_ASKED_SECONDS: Final = 1.0
"""So old the share of a budget may be that a policy goes by; with many calls nobody waits for it."""
_SHARE: Final = "usage.budget_share"
_UNHEARD_OF: Final = {Measure.TOKENS: 4096, Measure.NANOUSD: 50_000_000}
"""What an answer by an agent is taken for of which nobody knows anything yet."""
_WARNING: Final = "X-Aiogate-Budget-Warning"


class Budgets:
    """Charges exchanges to budgets: holds an estimate, meters streams, warns and refuses."""

    Config = BudgetsConfig
    tells = frozenset({_SHARE})

    def __init__(self, config: BudgetsConfig) -> None:
        """Keep the budgets."""
        self._accounts = Accounts(config)
        self._config = config
        self._measures: Measures | None = None
        self._state: State | None = None
        self._gateway: Gateway | None = None
        self._age_seconds: float | None = None

    def inherit(self, previous: object) -> None:
        """Go on with the accounts of the config before: the counters are the same, limits are the new ones."""
        if isinstance(previous, Budgets):
            self._accounts.inherit(previous._accounts)  # noqa: SLF001 - of the same class

    # the hooks

    @hookimpl
    def lifespan(self, gateway: Gateway) -> AbstractAsyncContextManager[object]:
        """Begin at what the journal says was spent."""
        return self._begun(gateway)

    @asynccontextmanager
    async def _begun(self, gateway: Gateway) -> AsyncIterator[None]:
        self._gateway, self._state, self._measures = gateway, gateway.state, measures_of(gateway)
        if any(_SHARE in _wanted_by(plugin) for plugin in gateway.plugins.values()):
            self._age_seconds = _ASKED_SECONDS
        await resume(gateway, self._accounts, None if self._measures is None else self._measures.means())
        if not gateway.board.is_shared:
            yield
            return
        async with asyncio.TaskGroup() as tasks:
            keeping_up = tasks.create_task(keep_up(gateway, self._accounts))
            try:
                yield
            finally:
                keeping_up.cancel()

    @hookimpl
    async def pre_request(self, exchange: Exchange) -> None:
        """Tell the policies how the tightest budget stands, and read what the request asks for.

        Where no policy asks for that, it is what was seen last, and costs no round trip: whether there is enough is
        decided when the claims are taken. Where no gateway runs, as for ``aiogate explain``, nobody knows how a budget
        stands.
        """
        accounts = self._accounts_of(exchange)
        if not accounts and exchange.budget_share is None and not self._may_be_charged(exchange):
            exchange.budget_share = 0.0  # where nothing is bounded, nothing of it is used
        if accounts and self._state is not None:
            try:
                counters = [account.claim.counter for account in accounts]
                standings = await self._state.standings(counters, age_seconds=self._age_seconds)
            except AiogateError:  # so be it
                return
            exchange.budget_share = max(
                (spent + held) / account.claim.limit for account, (spent, held) in zip(accounts, standings, strict=True)
            )
        length = exchange.content_length
        if (accounts or exchange.agent is None) and length and length <= self._config.read_body_bytes:
            said = exchange.request_headers.get("Content-Type", "application/json")
            if "json" in said and exchange.method == "POST":
                await exchange.read_body(self._config.read_body_bytes)

    @hookimpl
    def claims(self, exchange: Exchange) -> Sequence[Claim]:
        """Claim an estimate of what the exchange will use, of each budget that it is charged to."""
        agent = exchange.agent
        accounts = self._accounts_of(exchange)
        if agent is None or not accounts:
            return ()
        if any(account.claim.measure is Measure.TOKENS for account in accounts):
            exchange[ESTIMATE] = True
        request = asked_of(exchange)
        return [account.claimed(*self._reserve(exchange, agent, request, account)) for account in accounts]

    @hookimpl
    def response_started(self, exchange: Exchange) -> Observer | None:
        """Say how far the budgets are spent, and meter the answer if it is a stream, or should have been one."""
        agent, charged = exchange.agent, list(self._charged(exchange))
        if agent is None or not charged:
            return None
        told = [told for account, quota in charged if (told := self._warning(account, quota.spent)) is not None]
        if told:
            exchange.response_headers[_WARNING] = ", ".join(told)
        request = asked_of(exchange)
        if not request.streamed and not is_stream(exchange.content_type):
            return None
        lines = [Line(account, quota.claim.amount) for account, quota in charged]
        tell: Callable[[], Iterable[tuple[Measure, int]]] = partial(held_of, lines)
        exchange[HELD] = tell
        agent_id, wall = agent.id, exchange.started_wall
        measures = self._measures

        def price(usage: Usage) -> int | None:
            return None if measures is None else measures.quote(agent_id, usage, wall)

        return Meter(exchange, lines, estimate(exchange, request, 0), price, self._running)

    @hookimpl
    async def post_response(self, exchange: Exchange) -> None:
        """Warn when so much is spent, or more than there was."""
        if exchange.grant is None:
            return
        charged = [account for account, quota in self._charged(exchange) if _may_be_news(exchange, account, quota)]
        if not charged:
            return
        standings = await self._running.standings([account.claim.counter for account in charged])
        for account, (spent, _) in zip(charged, standings, strict=True):
            self._warning(account, spent)
            if spent > account.claim.limit and not account.notes.overdrawn:
                account.notes.overdrawn = True
                _log.warning("budget %s is overdrawn: %s", *_named(account, spent))
                self._tell(account, spent, "overdrawn")

    # what operators ask for

    async def budgets(self) -> list[BudgetReport]:
        """Return how the counters stand that anybody was charged to in the present periods."""
        if self._gateway is None:
            return []
        now = self._gateway.clock.wall()
        accounts = [account for account in self._accounts if account.period.starts <= now < account.period.ends]
        standings = await self._running.standings([account.claim.counter for account in accounts])
        return [account.report(*standing) for account, standing in zip(accounts, standings, strict=True)]

    # the rest

    def _tell(self, account: Account, spent: int, what: str) -> None:
        if self._gateway is not None:
            per = dict(zip(account.budget.per, account.values, strict=True))
            who = per.get("principal"), per.get("agent")
            facts = {"rule": account.budget.name, "said": what, "share": spent / account.claim.limit}
            self._gateway.tell("budget", principal=who[0], agent=who[1], **facts, detail=_named(account, spent)[1])

    @property
    def _running(self) -> State:
        if self._state is None:
            msg = "budgets are counted while the gateway runs"
            raise RuntimeError(msg)
        return self._state

    def _accounts_of(self, exchange: Exchange) -> tuple[Account, ...]:
        return self._accounts.of(exchange.principal or NOBODY, exchange.agent, exchange.started_wall)

    def _may_be_charged(self, exchange: Exchange) -> bool:
        """Tell whether there is a budget that an exchange would be charged to if one of the candidates served."""
        principal, wall = exchange.principal or NOBODY, exchange.started_wall
        return any(self._accounts.of(principal, agent, wall) for agent in exchange.candidates)

    def _charged(self, exchange: Exchange) -> Iterator[tuple[Account, Quota]]:
        """Yield what the exchange was charged to, and how that stood then."""
        for quota in exchange.quotas:
            if quota.claim.kind is Counted.PERIOD:
                account = self._accounts.get(quota.claim.counter)
                if account is not None:
                    yield account, quota

    def _reserve(self, exchange: Exchange, agent: Agent, request: Asked, account: Account) -> tuple[int, int | None]:
        """Return what to hold of an account before anything is sent, and what will do where less is left.

        What the request itself is and bounds is held in full, be it more than there is; a stream begins with a slice.
        What is only guessed refuses nobody as long as anything is left.
        """
        whole = None
        if request.output_tokens is not None:
            whole = self._amount(exchange, agent, account, request, request.output_tokens)
            if whole is not None and not request.streamed:
                return max(1, whole), None
        of_request = self._amount(exchange, agent, account, request, 0) or 0
        a_slice = of_request + account.slice
        if whole is not None:
            return max(1, min(whole, a_slice)), None
        guess = self._mean(agent, account) or of_request + max(account.slice, _UNHEARD_OF[account.claim.measure])
        whole = min(guess, a_slice) if request.streamed else guess
        least = max(1, of_request)
        return max(least, min(whole, account.claim.limit)), least

    def _amount(
        self, exchange: Exchange, agent: Agent, account: Account, request: Asked, output_tokens: int
    ) -> int | None:
        """Return what an answer of so many tokens takes of an account; None: it has no price."""
        usage = estimate(exchange, request, output_tokens)
        if account.claim.measure is Measure.TOKENS:
            return usage.tokens
        return None if self._measures is None else self._measures.quote(agent.id, usage, exchange.started_wall)

    def _mean(self, agent: Agent, account: Account) -> int | None:
        if self._measures is None:
            return None
        means = self._measures.means()
        return means.tokens(agent.id) if account.claim.measure is Measure.TOKENS else means.nanousd(agent.id)

    def _warning(self, account: Account, spent: int) -> str | None:
        """Return what answers say of a budget of which so much is spent; the first time the log says it, too."""
        if not account.budget.warn_at:
            return None
        share = spent / account.claim.limit
        reached = max((at for at in account.budget.warn_at if share >= at), default=None)
        if reached is None:
            return None
        if reached > account.notes.warned:
            account.notes.warned = reached
            _log.warning("budget %s has reached %g: %s", account.budget.name, reached, _named(account, spent)[1])
            self._tell(account, spent, "warning")
        return f'"{account.budget.name}";spent={share:.3f}'


def _wanted_by(plugin: object) -> set[str]:
    """Return what a plugin wants others to tell, as ``aiogate check`` asks for it."""
    asks = getattr(plugin, "asks", None)
    return set() if asks is None else {name for _, name in asks()}


def _may_be_news(exchange: Exchange, account: Account, quota: Quota) -> bool:
    """Tell whether an exchange may have brought its account over a threshold, or taken more than there was."""
    claim, notes = quota.claim, account.notes
    used = exchange.usage.tokens if claim.measure is Measure.TOKENS else exchange.cost_nanousd or 0
    if used > claim.amount and not notes.overdrawn:
        return True
    most = quota.spent + quota.held - claim.amount + used
    return any(at > notes.warned and most >= at * claim.limit for at in account.budget.warn_at)


def _named(account: Account, spent: int) -> tuple[str, str]:
    """Return the name of a budget and how its counter stands, for the log."""
    scale = 10**9 if account.claim.measure is Measure.NANOUSD else 1
    unit = "usd" if scale > 1 else "tokens"
    who = ", ".join(f"{name} {value!r}" for name, value in zip(account.budget.per, account.values, strict=True))
    of = f"{spent / scale:g} of {account.claim.limit / scale:g} {unit} are spent"
    return account.budget.name, f"{of} ({who})" if who else of
