"""The cases of ``aiogate policy test``: a file of them, what the rules say of each, and whether that is expected.

Such a file::

    config = "gateway.toml"              # whose rules these are; relative to this file

    [[case]]
    name = "contractors stay out"
    principal = "bob"                    # as the config knows him; what else is given is this case's alone
    roles = ["contractor"]
    agent = "analytics"
    request = "POST /chat"
    expect = "deny"
    rule = "contractors-stay-out"        # without it any rule will do
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from aiogate.cli.imagine import Callers, imagined
from aiogate.errors import AiogateError, Problem, Refusal, Refused, SettingsError
from aiogate.exchange import Exchange, Principal
from aiogate.pipeline.load import load
from aiogate.pipeline.run import Pipeline
from aiogate.settings.lines import Lines
from aiogate.settings.model import Settings
from aiogate.settings.read import read_tables, read_text
from aiogate.settings.structure import Structurer

__all__ = ["Case", "Result", "policies_of", "results_of"]

_REQUEST: Final = re.compile(r"(?P<method>[A-Z]+) (?P<path>/\S*)")
PLUGIN: Final = "policies"


def _is_request(_owner: object, _attribute: object, value: str) -> None:
    if not _REQUEST.fullmatch(value):
        msg = f"expected a method and a path such as 'POST /chat', got {value!r}"
        raise ValueError(msg)


@attrs.frozen(kw_only=True)
class Case:
    """``[[case]]``: one request and what the rules are meant to say of it.

    Args:
        principal: as the config knows it, or one that it does not know; without it nobody is authenticated.
        roles, department, attributes: in the place of what the config says.
        client: its address.
        at: when; without it now.
        budget_share: what is used of the tightest budget.
        rule: the one that denies.
        shadow: the rules in the shadow that would refuse, in their order.
    """

    name: str
    agent: str
    expect: Literal["allow", "deny"]
    principal: str | None = None
    roles: frozenset[str] | None = None
    department: str | None = None
    attributes: Mapping[str, str] | None = None
    request: str = attrs.field(default="POST /", validator=_is_request)
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: str = ""
    client: str = "127.0.0.1"
    at: datetime | None = None
    budget_share: float | None = None
    rule: str | None = None
    shadow: tuple[str, ...] | None = None

    def caller(self, callers: Callers) -> Principal | None:
        """Return who calls."""
        if self.principal is None:
            return None
        given = {
            name: value for name in ("roles", "department", "attributes") if (value := getattr(self, name)) is not None
        }
        return attrs.evolve(callers.get(self.principal) or Principal(id=self.principal), **given)


@attrs.frozen(kw_only=True)
class CasesFile:
    """A whole file of cases."""

    config: Path
    case: tuple[Case, ...] = ()


@attrs.frozen
class Result:
    """What the rules said of a case."""

    case: Case
    refusal: Refusal | None
    shadow: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether it is what was expected."""
        case, rule = self.case, self.refusal.rule if self.refusal is not None else None
        return (
            (self.refusal is not None) == (case.expect == "deny")
            and (case.rule is None or case.rule == rule)
            and (case.shadow is None or case.shadow == self.shadow)
        )

    @property
    def expected(self) -> str:
        """What was expected, in one line."""
        return _verdict(self.case.expect, self.case.rule, self.case.shadow)

    @property
    def got(self) -> str:
        """What came out, in one line that differs where it does."""
        rule = self.refusal.rule if self.refusal is not None else None
        return _verdict("allow" if self.refusal is None else "deny", rule, self.shadow if self.case.shadow else None)

    @property
    def detail(self) -> str:
        """What the client would read."""
        return f"{self.refusal.code}: {self.refusal.detail}" if self.refusal is not None else ""

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "name": self.case.name,
            "passed": self.passed,
            "expected": {"verdict": self.case.expect, "rule": self.case.rule, "shadow": self.case.shadow},
            "got": {
                "verdict": "allow" if self.refusal is None else "deny",
                "rule": self.refusal.rule if self.refusal is not None else None,
                "code": self.refusal.code if self.refusal is not None else None,
                "shadow": self.shadow,
            },
        }


def results_of(file: Path, environ: Mapping[str, str]) -> list[Result]:
    """Return what the rules say of each case; raises ``SettingsError`` when the file or its config is not in order."""
    text = read_text(file)
    lines, found = Lines.of(text), list[Problem]()

    def report(problem: Problem) -> None:
        found.append(attrs.evolve(problem, line=lines.line(problem.path)))

    cases = Structurer(file.absolute().parent).structure(read_tables(file, text), CasesFile, "", report)
    if cases is None:
        raise SettingsError(str(file), found)
    settings, pipeline = load(cases.config, environ)
    results = asyncio.run(_results(cases, settings, pipeline, report))
    if found:
        raise SettingsError(str(file), found)
    return results


def policies_of(pipeline: Pipeline) -> Any:  # noqa: ANN401 - a plugin, which this floor does not import
    """Return the plugin that the rules are in force in; raises ``AiogateError`` when the config enables none."""
    if PLUGIN not in pipeline.plugins:
        msg = f'the config has no policies: "{PLUGIN}" is not in pipeline.plugins'
        raise AiogateError(msg)
    return pipeline.plugins[PLUGIN]


async def _results(
    cases: CasesFile, settings: Settings, pipeline: Pipeline, report: Callable[[Problem], None]
) -> list[Result]:
    plugin, callers, results = policies_of(pipeline), Callers.of(pipeline), list[Result]()
    for index, case in enumerate(cases.case):
        if case.agent not in settings.agents:
            report(Problem(f"case[{index}].agent", f"there is no agent {case.agent!r}"))
            continue
        try:
            exchange = _exchange(case, settings, callers)
        except Refused as refused:
            report(Problem(f"case[{index}].request", str(refused)))
            continue
        results.append(await _result(case, exchange, plugin))
    return results


async def _result(case: Case, exchange: Exchange, plugin: Any) -> Result:  # noqa: ANN401 - see ``policies_of``
    try:
        ended: Refusal | None = await plugin.pre_request(exchange)
    except Refused as refused:
        ended = refused.refusal
    if ended is None and not exchange.candidates:
        ended = exchange.softest_refusal
    if ended is None:
        plugin.claims(exchange)
    return Result(case, ended, exchange.shadow_rules)


def _exchange(case: Case, settings: Settings, callers: Callers) -> Exchange:
    method, _, path = case.request.partition(" ")
    exchange = imagined(
        settings,
        method,
        f"/agents/{case.agent}{path}",
        headers=case.headers.items(),
        body=case.body.encode(),
        address=case.client,
        moment=case.at.timestamp() if case.at is not None else None,
        budget_share=case.budget_share,
    )
    exchange.principal = case.caller(callers) or exchange.principal
    return exchange


def _verdict(verdict: str, rule: str | None, shadow: tuple[str, ...] | None) -> str:
    by = f" by {rule}" if rule is not None else ""
    beside = f", in the shadow: {', '.join(shadow) or 'none'}" if shadow is not None else ""
    return f"{verdict}{by}{beside}"
