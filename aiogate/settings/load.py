"""A config file to ``Settings``: read, interpolate, structure each section, then check across sections.

Every problem is collected before anything is refused. Knows plugins only through a ``Catalogue``.
"""

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

from aiogate.errors import PluginError, Problem, SettingsError
from aiogate.exchange import Agent
from aiogate.settings.catalogue import Catalogue, PluginFacts
from aiogate.settings.interpolate import interpolate
from aiogate.settings.lines import line_of
from aiogate.settings.model import (
    AdminSettings,
    AgentSettings,
    JournalSettings,
    PipelineSettings,
    ServerSettings,
    Settings,
    StateSettings,
)
from aiogate.settings.structure import Structurer

__all__ = ["load_settings"]

T = TypeVar("T")
_SECTIONS: Final = ("server", "admin", "state", "journal", "pipeline", "agents", "plugins")
_AGENT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PROMISES: Final = {
    "required_role": ("required_roles", "roles"),
    "required_roles": ("required_roles", "roles"),
    "rate_limit": ("rate_limit", "limits"),
    "concurrency": ("concurrency", "limits"),
}
"""Key of an agent: what a plugin must enforce for it to be more than ink, and the built-in plugin that does."""


def load_settings(path: Path, catalogue: Catalogue, environ: Mapping[str, str]) -> Settings:
    """Return what the file says; raises ``SettingsError`` with every problem, each with its path and line."""
    text = _text(path)
    try:
        tables = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(str(path), [Problem("", f"not valid TOML: {error}")]) from error
    loader = _Loader(path, catalogue)
    settings = loader.settings(interpolate(tables, environ, path.parent, loader.problems.append))
    if loader.problems:
        placed = [attrs.evolve(problem, line=line_of(text, problem.path)) for problem in loader.problems]
        raise SettingsError(str(path), sorted(placed, key=lambda problem: problem.line or 0))
    return settings


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise SettingsError(str(path), [Problem("", f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise SettingsError(str(path), [Problem("", "is not UTF-8")]) from error


@attrs.define
class _Loader:
    path: Path
    catalogue: Catalogue
    problems: list[Problem] = attrs.field(factory=list)
    _structurer: Structurer = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._structurer = Structurer(self.path.parent)

    def settings(self, tables: dict[str, Any]) -> Settings:
        for section in tables:
            if section not in _SECTIONS:
                self._unknown(section, section, _SECTIONS)
        pipeline = self._section(tables, "pipeline", PipelineSettings)
        facts = self._facts(pipeline)
        settings = Settings(
            path=self.path,
            server=self._section(tables, "server", ServerSettings),
            admin=self._section(tables, "admin", AdminSettings),
            state=self._section(tables, "state", StateSettings),
            journal=self._section(tables, "journal", JournalSettings),
            pipeline=pipeline,
            agents=self._agents(tables.get("agents", {})),
            plugins=self._plugins(tables.get("plugins", {}), facts),
        )
        self._check_listeners(settings)
        if not settings.state.url.reveal().startswith("memory://"):
            self._problem("state.url", "only memory:// is available in this version")
        self._check_promises(settings, tables, facts)
        return settings

    def _problem(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))

    def _unknown(self, path: str, name: str, known: tuple[str, ...]) -> None:
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(known) or 'none'}"
        self._problem(path, f"unknown key; {hint}")

    def _section(self, tables: dict[str, Any], name: str, kind: type[T]) -> T:
        return self._structurer.structure(tables.get(name, {}), kind, name, self.problems.append) or kind()

    def _facts(self, pipeline: PipelineSettings) -> dict[str, PluginFacts]:
        """Return the facts of the plugins that the pipeline names; those that do not load are problems."""
        facts: dict[str, PluginFacts] = {}
        for index, name in enumerate(pipeline.plugins):
            place = f"pipeline.plugins[{index}]"
            if name in facts:
                self._problem(place, f"plugin {name!r} is named twice")
                continue
            facts[name] = PluginFacts()
            try:
                facts[name] = self.catalogue.describe(name)
            except PluginError as error:
                self._problem(place, str(error))
        return facts

    def _agents(self, tables: object) -> dict[str, Agent]:
        if not isinstance(tables, dict) or not tables:
            self._problem("agents", 'there is no agent; name one: [agents.support] url = "http://127.0.0.1:8001"')
            return {}
        agents: dict[str, Agent] = {}
        for agent_id, table in tables.items():
            place = f"agents.{agent_id}"
            if not _AGENT_ID.fullmatch(agent_id):
                self._problem(
                    place, "an agent's id has up to 64 letters, digits, '_', '.', '-' and begins with no sign"
                )
            found = self._structurer.structure(table, AgentSettings, place, self.problems.append)
            if found is not None:
                agents[agent_id] = found.agent(agent_id)
        return agents

    def _plugins(self, tables: object, facts: Mapping[str, PluginFacts]) -> dict[str, Any]:
        if not isinstance(tables, dict):
            self._problem("plugins", "expected a table")
            return {}
        for name in tables:
            if name not in facts:
                close = get_close_matches(name, facts, n=1)
                hint = f"did you mean {close[0]!r}?" if close else "add it there or take the section out"
                self._problem(f"plugins.{name}", f"is not in pipeline.plugins, so it would be off; {hint}")
        return {name: self._plugin(name, tables.get(name, {}), fact) for name, fact in facts.items()}

    def _plugin(self, name: str, table: object, fact: PluginFacts) -> object:
        place = f"plugins.{name}"
        if fact.config is not None:
            return self._structurer.structure(table, fact.config, place, self.problems.append)
        if table:
            self._problem(place, "this plugin takes no settings")
        return None

    def _check_listeners(self, settings: Settings) -> None:
        server, admin = settings.server.listen, settings.admin.listen
        if not _is_loopback(admin.host):
            self._problem("admin.listen", f"must be on loopback, such as 127.0.0.1:9090, not {admin}")
        if server == admin and server.port:
            self._problem("admin.listen", f"{admin} is where clients call; operators need another port")

    def _check_promises(self, settings: Settings, tables: dict[str, Any], facts: Mapping[str, PluginFacts]) -> None:
        """Refuse what would be silently off: a limit that no plugin enforces, a gateway that knows nobody."""
        enforced = frozenset[str]().union(*(fact.enforces for fact in facts.values()))
        if "principal" not in enforced and not settings.server.anonymous:
            self._problem(
                "pipeline.plugins",
                'no plugin authenticates callers; add "api_keys", or serve everybody with [server] anonymous = true',
            )
        for agent_id in settings.agents:
            for key in tables["agents"][agent_id]:
                promise, plugin = _PROMISES.get(key, ("", ""))
                if promise and promise not in enforced:
                    message = f'is set, but no plugin in pipeline.plugins enforces it; add "{plugin}"'
                    self._problem(f"agents.{agent_id}.{key}", message)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
