"""Settings as plain values, the way a config would write them, with secrets as ``***``."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs

from aiogate.exchange import Secret
from aiogate.settings.model import Settings

__all__ = ["in_force"]


def in_force(settings: Settings) -> dict[str, Any]:
    """Return what is in force, defaults included; what is not set is left out."""
    sections = ("server", "admin", "state", "journal", "pipeline")
    plain = {name: _plain(getattr(settings, name)) for name in sections}
    plain["state"]["url"] = settings.state.url.reveal().partition("://")[0] + "://"
    plain["agents"] = {agent_id: _agent(agent) for agent_id, agent in settings.agents.items()}
    plain["plugins"] = {name: _plain(config) for name, config in settings.plugins.items() if config is not None}
    return plain


def _agent(agent: object) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(agent)
    plain.pop("id")
    return plain


def _plain(value: Any) -> Any:  # noqa: ANN401, PLR0911 - one line for each kind of value
    if isinstance(value, Secret):
        return repr(value)
    if attrs.has(type(value)) and _is_section(value):
        fields = {field.name.lstrip("_"): getattr(value, field.name) for field in attrs.fields(type(value))}
        return {name: _plain(item) for name, item in fields.items() if item is not None}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(item) for item in value)
    if isinstance(value, (bool, int, float, datetime)):
        return int(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(value, Decimal):
        return float(value)
    return str(value)


def _is_section(value: object) -> bool:
    """Tell a table from a fact with a text of its own, such as an address or a rate."""
    return "__str__" not in vars(type(value))
