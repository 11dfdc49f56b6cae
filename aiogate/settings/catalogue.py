"""What a config needs to know of the plugins that it names.

The pipeline implements ``Catalogue``; the settings never import it.
"""

from typing import Protocol

import attrs

__all__ = ["Catalogue", "PluginFacts"]


@attrs.frozen(kw_only=True)
class PluginFacts:
    """A plugin's ``Config`` class, if it has settings, and which promises of a config it keeps (``enforces``)."""

    config: type | None = None
    enforces: frozenset[str] = frozenset()


class Catalogue(Protocol):
    """Knows the installed plugins by their name in the config."""

    def describe(self, name: str) -> PluginFacts:
        """Return the facts of a plugin; raises ``PluginError`` when there is none of that name or it does not load."""
        ...
