"""Entry points to plugin classes, for the loader, ``aiogate check`` and ``aiogate plugins``.

Imports a plugin only when it is asked for by name; knows nothing of hooks being called.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points

import attrs

from aiogate.errors import PluginError
from aiogate.hookspecs import PROJECT
from aiogate.pipeline.inspect import hooks_of
from aiogate.settings.catalogue import PluginFacts

__all__ = ["InstalledPlugins", "PluginReport"]


@attrs.frozen(kw_only=True)
class PluginReport:
    """What ``aiogate plugins`` says of one installed plugin; ``error`` tells why it did not load."""

    name: str
    distribution: str
    version: str
    hooks: tuple[str, ...] = ()
    enforces: tuple[str, ...] = ()
    error: str | None = None


def _distribution(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist is not None else ("", "")


@attrs.define
class InstalledPlugins:
    """The plugins that are installed: everything in the entry-point group ``aiogate``.

    Args:
        classes: plugin classes that are not installed, by name; for the tests of plugin authors.
    """

    _classes: dict[str, type] = attrs.field(factory=dict)
    _entries: dict[str, list[EntryPoint]] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        for name, cls in self._classes.items():
            hooks_of(cls, name=name)
        for entry in entry_points(group=PROJECT):
            same_name = self._entries.setdefault(entry.name, [])
            if all(known.value != entry.value for known in same_name):
                same_name.append(entry)

    def names(self) -> list[str]:
        """Return the names of all installed plugins, sorted."""
        return sorted(self._entries)

    def load(self, name: str) -> type:
        """Import a plugin and return its class; raises ``PluginError`` with what to do about it."""
        if name not in self._classes:
            self._classes[name] = self._import(self._entry(name))
        return self._classes[name]

    def describe(self, name: str) -> PluginFacts:
        """Return a plugin's facts; see ``Catalogue``."""
        cls = self.load(name)
        return PluginFacts(config=getattr(cls, "Config", None), enforces=frozenset(getattr(cls, "enforces", ())))

    def reports(self) -> Iterator[PluginReport]:
        """Import every installed plugin and tell what it is or why it does not load."""
        for name in self.names():
            distribution, version = _distribution(self._entries[name][0])
            report = PluginReport(name=name, distribution=distribution, version=version)
            try:
                cls = self.load(name)
            except PluginError as error:
                yield attrs.evolve(report, error=str(error))
            else:
                enforces = tuple(sorted(getattr(cls, "enforces", ())))
                yield attrs.evolve(report, hooks=tuple(hooks_of(cls)), enforces=enforces)

    def _entry(self, name: str) -> EntryPoint:
        entries = self._entries.get(name)
        if not entries:
            close = get_close_matches(name, self._entries, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"installed are: {', '.join(self.names()) or 'none'}"
            raise PluginError(name, f"not installed; {hint}")
        if len(entries) > 1:
            owners = " and ".join(sorted(_distribution(entry)[0] for entry in entries))
            raise PluginError(name, f"both {owners} bring a plugin of this name; uninstall one")
        return entries[0]

    @staticmethod
    def _import(entry: EntryPoint) -> type:
        owner = _distribution(entry)[0]
        try:
            cls = entry.load()
        except Exception as error:  # the border to foreign code: whatever an import raises is one refused plugin
            message = f"{entry.value} (from {owner}) does not import: {type(error).__name__}: {error}"
            raise PluginError(entry.name, message) from error
        if not isinstance(cls, type):
            raise PluginError(entry.name, f"{entry.value} (from {owner}) is no class; the entry point must name one")
        hooks_of(cls, name=entry.name)
        return cls
