"""A config file to ``Settings``: read, interpolate, structure each section, then check across sections.

Every problem is collected before anything is refused. Knows plugins only through a ``Catalogue``.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from aiogate.agent import Agent
from aiogate.errors import Problem, SettingsError
from aiogate.settings.catalogue import Catalogue
from aiogate.settings.checks import can_be_reached
from aiogate.settings.document import Document
from aiogate.settings.fallback import lost_fallbacks
from aiogate.settings.faults import dotted, unknown
from aiogate.settings.interpolate import interpolate
from aiogate.settings.model import (
    Address,
    AdminSettings,
    AgentSettings,
    JournalSettings,
    PipelineSettings,
    ServerSettings,
    Settings,
    StateSettings,
    Workers,
)
from aiogate.settings.origin import Origin
from aiogate.settings.plugins import PluginSections
from aiogate.settings.promises import broken_promises
from aiogate.settings.spoken import without_address
from aiogate.settings.structure import Structurer
from aiogate.settings.workers import as_many_as_fit, wrong_with_workers

__all__ = ["load_settings"]

_SECTIONS: Final = ("server", "admin", "state", "journal", "pipeline", "agents", "plugins")
_AGENT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def load_settings(
    path: Path,
    catalogue: Catalogue,
    environ: Mapping[str, str],
    workers: int | None = None,
    origin: Origin | None = None,
) -> Settings:
    """Return what the file says; raises ``SettingsError`` with every problem, each with its path and line.

    ``workers`` takes the place of what it says of ``[server] workers``; ``origin`` says where it came from if it is the
    copy of a config that has come from elsewhere.
    """
    document = Document.read(path)
    folder = path.absolute().parent if origin is None else origin.folder
    lost: list[Problem] = []
    found: list[Problem] = []
    tables = interpolate(document.tables, environ, folder, lost.append)
    if origin is not None:
        tables, lost = origin.put_into(tables), [one for one in lost if one.path != "state.url"]
    settings = _Loader(tables, Structurer(folder), found.append, workers).settings(document, catalogue)
    # of a value whose reference leads nowhere that is all there is to say
    unsaid = {one.path for one in lost}
    if origin is not None and origin.elsewhere is not None:
        for problem in document.in_order(lost):
            origin.elsewhere(problem)
        unsaid |= {path[:end] for path in unsaid for end in range(len(path)) if path[end] in ".["}
        lost = []
    problems = lost + [problem for problem in found if problem.path not in unsaid]
    if problems:
        raise SettingsError(str(path), document.in_order(problems))
    return settings


@attrs.define
class _Loader:
    """One walk through the tables of a config: what is wrong is reported, and the walk goes on."""

    _tables: dict[str, Any]
    _structurer: Structurer
    _report: Callable[[Problem], None]
    _workers: int | None = None

    def settings(self, document: Document, catalogue: Catalogue) -> Settings:
        """Return the settings, which are worth nothing once a problem was reported."""
        for name in self._tables:
            if name not in _SECTIONS:
                self._report(Problem(dotted((name,)), unknown(name, (*_SECTIONS, "include"))))
        plugins = PluginSections.of(self._tables, catalogue, self._structurer, self._report)
        self._check_listeners(plugins.enforced)
        anonymous = self._table("server").get("anonymous")
        for problem in broken_promises(self._table("agents"), anonymous, plugins.enforced):
            self._report(problem)
        agents = self._agents()
        state = self._section("state", StateSettings)
        return Settings(
            path=document.path,
            files=document.files,
            include=document.include,
            server=self._server(state),
            admin=self._section("admin", AdminSettings),
            state=state,
            journal=self._section("journal", JournalSettings),
            pipeline=self._section("pipeline", PipelineSettings),
            agents=agents,
            plugins=plugins.configs(agents if agents.keys() == self._table("agents").keys() else None),
        )

    def _section(self, name: str, kind: type) -> Any:  # noqa: ANN401 - an instance, or None after a problem
        return self._structurer.structure(self._tables.get(name, {}), kind, name, self._report)

    def _server(self, state: StateSettings | None) -> Any:  # noqa: ANN401 - as of a section
        """Return ``[server]`` with as many workers as there will be."""
        server: ServerSettings | None = self._section("server", ServerSettings)
        if server is None or state is None:
            return None
        workers = server.workers if self._workers is None else self._workers
        workers = workers or as_many_as_fit(state.url)
        for why in wrong_with_workers(workers, state.url):
            self._report(Problem("server.workers", why))
        return attrs.evolve(server, workers=Workers(workers))

    def _table(self, name: str) -> dict[str, Any]:
        """Return a plain table; an empty one stands for anything else, which is reported where it is structured."""
        table = self._tables.get(name)
        return table if isinstance(table, dict) else {}

    def _agents(self) -> dict[str, Agent]:
        tables = self._structurer.structure(self._tables.get("agents", {}), dict[str, Any], "agents", self._report)
        if tables == {}:
            message = 'there is no agent; name one: [agents.support] url = "http://127.0.0.1:8001"'
            self._report(Problem("agents", message))
        agents = {}
        for agent_id, table in (tables or {}).items():
            path = dotted(("agents", agent_id))
            if not _AGENT_ID.fullmatch(agent_id):
                message = "an agent's id has up to 64 letters, digits, '_', '.', '-' and begins with no sign"
                self._report(Problem(path, message))
            settings = self._structurer.structure(table, AgentSettings, path, self._report)
            if isinstance(table, dict) and not table.keys() & {"url", "urls"}:
                self._report(Problem(f"{path}.url", "is required, or urls where there are several endpoints"))
            elif settings is not None and not settings.url and not settings.urls:
                self._report(Problem(f"{path}.urls", "expected at least one URL"))
            elif settings is not None:
                agents[agent_id] = settings.agent(agent_id)
        for problem in lost_fallbacks(self._table("agents")):
            self._report(problem)
        return agents

    def _check_listeners(self, enforced: frozenset[str]) -> None:
        server, admin = self._listen("server", ServerSettings().listen), self._listen("admin", AdminSettings().listen)
        if server is not None and server.port and server == admin:
            self._report(Problem("admin.listen", f"{admin} is where clients call; operators need another port"))
        if server is not None:
            for problem in without_address(self._table("agents"), self._table("server"), server.host):
                self._report(problem)
        is_guarded = "principal" in enforced or self._table("admin").keys() & {"token", "token_sha256"}
        if admin is not None and can_be_reached(admin.host) and not is_guarded:
            message = (
                f"{admin} can be reached from other machines, and anybody could steer the gateway: set admin.token "
            )
            message += 'to a secret such as "${AIOGATE_ADMIN_TOKEN}", or listen on loopback: 127.0.0.1:9090'
            self._report(Problem("admin.listen", message))

    def _listen(self, name: str, default: Address) -> Address | None:
        """Return where a section says to listen whatever else is wrong in it; None when that itself is wrong."""
        table = self._table(name)
        if "listen" not in table:
            return default
        return self._structurer.structure(table["listen"], Address, "", lambda _: None)
