"""Settings as plain values, the way a config would write them, with secrets as ``***``; for ``aiogate config show``.

Knows nothing of TOML or JSON; both can write what it returns, except that JSON knows no ``Decimal``.
"""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs

from aiogate.agent import Seconds, Secret, UsageRule
from aiogate.settings.model import Settings
from aiogate.settings.structure import key_of
from aiogate.settings.usage_rule import written

__all__ = ["CREDENTIAL", "in_force", "plain"]

_HIDDEN: Final = "***"
CREDENTIAL: Final = re.compile(
    r"(?:.*[_-])?(?:authorization|cookie|credentials?|passwd|password|pepper|secrets?|token|(?:api|private)[_-]?key|sha256)",
    re.IGNORECASE,
)
_USERINFO: Final = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def in_force(settings: Settings) -> dict[str, Any]:
    """Return what is in force, defaults included; what is not set is left out."""
    folder = settings.path.absolute().parent
    sections = ("server", "admin", "state", "journal", "pipeline")
    shown = {name: plain(getattr(settings, name), folder) for name in sections}
    shown["state"]["url"] = settings.state.url.reveal().partition("://")[0] + "://"
    shown["agents"] = {agent_id: _agent(agent, folder) for agent_id, agent in settings.agents.items()}
    shown["plugins"] = {name: plain(config, folder) for name, config in settings.plugins.items() if config is not None}
    return shown


def _agent(agent: object, folder: Path) -> dict[str, Any]:
    shown: dict[str, Any] = plain(agent, folder)
    shown.pop("id")
    del shown["url" if shown["urls"] else "urls"]  # the former is the first of the latter
    return shown


def plain(value: Any, folder: Path) -> Any:  # noqa: ANN401 - a fact and what a config writes for it
    """Return what a config would write for a fact; paths in ``folder`` are relative to it."""
    if isinstance(value, UsageRule):
        return written(value)
    if attrs.has(type(value)) and _is_section(value):
        fields = {key_of(field): getattr(value, field.name) for field in attrs.fields(type(value)) if field.init}
        return _table(fields, folder)
    if isinstance(value, Mapping):
        return _table(value, folder)
    if isinstance(value, (tuple, list)):
        return [plain(item, folder) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item, folder) for item in value)
    return _scalar(value, folder)


def _table(fields: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    shown = {name: plain(item, folder) for name, item in fields.items() if item is not None}
    return {
        name: _HIDDEN if isinstance(item, str) and CREDENTIAL.fullmatch(name) else item for name, item in shown.items()
    }


def _scalar(value: object, folder: Path) -> object:
    match value:
        case Secret():
            return _HIDDEN
        case Seconds():
            return float(value)
        case bool() | float() | Decimal() | date():
            return value
        case int():
            return int(value)  # a Size is written as a number
        case Path():
            return str(value.relative_to(folder) if value.is_relative_to(folder) else value)
        case _:
            return _USERINFO.sub(_HIDDEN, str(value))


def _is_section(value: object) -> bool:
    """Tell a table from a fact with a text of its own, such as an address or a rate."""
    return "__str__" not in vars(type(value))
