"""Which plugins a config enables, and what each is told; for the loader.

Knows plugins only through a ``Catalogue``, and builds none.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Self

import attrs

from aiogate.agent import Agent
from aiogate.errors import PluginError, Problem
from aiogate.settings.catalogue import Catalogue, PluginFacts
from aiogate.settings.faults import dotted
from aiogate.settings.structure import Structurer

__all__ = ["PluginSections"]


@attrs.define
class PluginSections:
    """The plugins that one config names, in its order, and their tables."""

    _tables: Mapping[str, Any]
    _structurer: Structurer
    _report: Callable[[Problem], None]
    _named: list[str] = attrs.field(factory=list)
    _facts: dict[str, PluginFacts] = attrs.field(factory=dict)

    @classmethod
    def of(
        cls,
        document: Mapping[str, Any],
        catalogue: Catalogue,
        structurer: Structurer,
        report: Callable[[Problem], None],
    ) -> Self:
        """Look up the plugins that the plain tables of a config name; no other plugin may have a table."""
        pipeline = document.get("pipeline")
        named = pipeline.get("plugins") if isinstance(pipeline, dict) else None
        tables = structurer.structure(document.get("plugins", {}), dict[str, Any], "plugins", report)
        sections = cls(tables or {}, structurer, report)
        for index, name in enumerate(named if isinstance(named, list) else []):
            if isinstance(name, str):  # else it is reported where the section is structured
                sections._look_up(name, f"pipeline.plugins[{index}]", catalogue)
        sections._check_tables()
        return sections

    @property
    def enforced(self) -> frozenset[str]:
        """The promises that the enabled plugins keep together."""
        return frozenset[str]().union(*(facts.enforces for facts in self._facts.values()))

    def configs(self, agents: Mapping[str, Agent] | None) -> dict[str, Any]:
        """Return each plugin's own ``Config``, None for a plugin without settings.

        A ``Config`` that names agents may have a method ``check_agents(agents)``: it yields where in its own table
        something is wrong (``rule[2].agents``), and what. ``agents`` are None when they are not in order themselves.
        One that needs what another plugin does may have ``check_enforced(enforced)``, which gets what all of them do.
        """
        configs = {name: self._config(name, facts) for name, facts in self._facts.items()}
        for name, config in configs.items():
            checks = (("check_agents", agents), ("check_enforced", self.enforced))
            for method, facts in checks:
                check = getattr(config, method, None)
                for place, message in check(facts) if check is not None and facts is not None else ():
                    self._report(Problem(f"{dotted(('plugins', name))}.{place}", message))
        return configs

    def _look_up(self, name: str, path: str, catalogue: Catalogue) -> None:
        if name in self._named:
            self._report(Problem(path, f"plugin {name!r} is named twice"))
            return
        self._named.append(name)
        try:
            self._facts[str(name)] = catalogue.describe(str(name))
        except PluginError as error:
            self._report(Problem(path, self._structurer.hide(str(error), name)))

    def _check_tables(self) -> None:
        for name in self._tables:
            if name not in self._named:
                close = get_close_matches(name, self._named, n=1)
                hint = "add it there or take the section out"
                if close and close[0] in self._facts:
                    hint = f"did you mean {close[0]!r}?"
                elif close:
                    hint = f"is {close[0]!r} there meant to be it?"
                message = f"is not in pipeline.plugins, so it would be off; {hint}"
                self._report(Problem(dotted(("plugins", name)), message))

    def _config(self, name: str, facts: PluginFacts) -> object:
        path = dotted(("plugins", name))
        table = self._tables.get(name, {})
        if facts.config is None:
            if table:
                self._report(Problem(path, "this plugin takes no settings"))
            return None
        try:
            return self._structurer.structure(table, facts.config, path, self._report)
        except Exception as error:  # noqa: BLE001 - the border to plugins: what a Config raises is one problem of its section
            message = f"the plugin's Config failed: {type(error).__name__}: {error}"
            self._report(Problem(path, self._structurer.hide(message, table)))
        return None
