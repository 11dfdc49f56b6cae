"""A config as text, loaded with a small catalogue of plugins."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from aiogate import Secret
from aiogate.errors import PluginError, SettingsError
from aiogate.settings.catalogue import PluginFacts
from aiogate.settings.load import load_settings
from aiogate.settings.model import Settings

IN_ORDER = """\
[pipeline]
plugins = ["keys", "roles", "limits"]

[agents.support]
url = "http://support-agent:8001"
"""
HTTPS = IN_ORDER.replace("http:", "https:")
NO_AGENT = IN_ORDER.partition("[agents")[0]


def of_agent(problems: "Refuse", line: str) -> list[str]:
    """Return what is wrong with one more line in an agent's table, without the place."""
    config = IN_ORDER if not line.startswith("url") else NO_AGENT + "[agents.support]\n"
    return [found.removeprefix("agents.support.").rpartition(" (line")[0] for found in problems(f"{config}{line}\n")]


def _is_not_negative(_owner: object, attribute: "attrs.Attribute[Decimal]", value: Decimal) -> None:
    if value < 0:
        msg = f"{attribute.name}: expected 0 or more, got {value}"
        raise ValueError(msg)


@attrs.frozen(kw_only=True)
class KeyEntry:
    id: str
    secret: Secret
    usd: Decimal = attrs.field(default=Decimal(0), validator=_is_not_negative)


@attrs.frozen(kw_only=True)
class KeysConfig:
    keys: tuple[KeyEntry, ...] = ()
    word: str = attrs.field(default="fish", validator=attrs.validators.in_(("fish", "fowl")))
    file: Path = Path("keys.txt")
    password: str = ""

    def __attrs_post_init__(self) -> None:
        if len(self.keys) > 1 and self.password:
            msg = f"password: expected none beside {len(self.keys)} keys, got {self.password}"
            raise ValueError(msg)


@attrs.frozen(kw_only=True)
class NeedyConfig:
    needed: int


@attrs.frozen(kw_only=True)
class BrokenConfig:
    text: str = ""

    def __attrs_post_init__(self) -> None:
        raise RuntimeError(self.text)


SHELF = {
    "keys": PluginFacts(config=KeysConfig, enforces=frozenset({"principal"})),
    "roles": PluginFacts(enforces=frozenset({"required_roles"})),
    "limits": PluginFacts(enforces=frozenset({"rate_limit", "concurrency"})),
    "routing": PluginFacts(enforces=frozenset({"priority", "weight", "group"})),
    "needy": PluginFacts(config=NeedyConfig),
    "broken": PluginFacts(config=BrokenConfig),
}


class Shelf:
    """The plugins that these tests know."""

    def describe(self, name: str) -> PluginFacts:
        if name not in SHELF:
            raise PluginError(name, "not installed")
        return SHELF[name]


Load = Callable[..., Settings]
Refuse = Callable[..., list[str]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a config of this text."""

    def load_text(text: str, environ: Mapping[str, str] | None = None) -> Settings:
        path = tmp_path / "gateway.toml"
        path.write_text(text)
        return load_settings(path, Shelf(), environ or {})

    return load_text


@pytest.fixture
def problems(load: Load) -> Refuse:
    """Return the problems of a config of this text, as a person reads them."""

    def refused(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(SettingsError) as raised:
            load(text, environ)
        return [str(problem) for problem in raised.value.problems]

    return refused
