"""The schema and the reference: fresh, complete, and of one mind with the loader about what a config may say."""

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from aiogate import Rate, Secret
from aiogate.cli.schema import reference_text, schema_text
from aiogate.pipeline.discover import InstalledPlugins
from aiogate.settings.load import load_settings
from aiogate.settings.reference import reference_of
from aiogate.settings.schema import PluginSection, schema_of
from aiogate.settings.show import in_force
from tests.settings.test_load import TEN_MISTAKES
from tests.test_docs import CONFIGS, DOCUMENTS, ROOT, blocks

STALE = """conf/{} is not what the settings say any more. Write it again, and commit it with what you changed:

    .venv/bin/aiogate schema --built-in --write conf
"""
BLOCKS = [(document, block) for document in DOCUMENTS for block in blocks(document, "toml") if "[project]" not in block]
AGENT = '[agents.support]\nurl = "http://support-agent:8001"\n'


@pytest.fixture(scope="module")
def schema() -> Any:
    return json.loads(schema_text(built_in=True))


def as_json(value: Any) -> Any:
    """What an editor's validator sees of TOML: dates and times are strings."""
    match value:
        case dict():
            return {key: as_json(item) for key, item in value.items()}
        case list():
            return [as_json(item) for item in value]
        case date():
            return value.isoformat()
        case Decimal():
            return float(value)
        case _:
            return value


def mistakes(schema: Any, config: str | dict[str, Any]) -> list[str]:
    tables = tomllib.loads(config) if isinstance(config, str) else config
    found = Draft202012Validator(schema, format_checker=FormatChecker()).iter_errors(as_json(tables))
    return sorted(".".join(map(str, error.absolute_path)) for error in found)


def keys(path: str, schema: Any) -> Iterator[tuple[str, Any]]:
    """Every key that a config may have, however deep."""
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}{name}", inner
        yield from keys(f"{path}{name}.", inner)
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from keys(f"{path}*.", inner)


@pytest.mark.parametrize("name, text", [("gateway.schema.json", schema_text), ("REFERENCE.md", reference_text)])
def test_what_conf_carries_is_fresh(name: str, text: Any) -> None:
    assert (ROOT / "conf" / name).read_text() == text(built_in=True), STALE.format(name)


def test_the_schema_is_one(schema: Any) -> None:
    Draft202012Validator.check_schema(schema)


def test_every_key_says_what_it_means(schema: Any) -> None:
    silent = [path for path, inner in keys("", schema) if "description" not in inner]
    assert not silent, "explain them in the Args of their class's docstring, then write the schema again"


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_every_config_that_we_ship_fits_and_names_the_schema(schema: Any, config: Path) -> None:
    assert config.read_text().startswith("#:schema ./gateway.schema.json\n")
    assert not mistakes(schema, config.read_text())


@pytest.mark.parametrize("document, block", BLOCKS, ids=lambda one: one.name if isinstance(one, Path) else one[:30])
def test_every_block_of_the_documents_fits(schema: Any, document: Path, block: str) -> None:
    assert not mistakes(schema, block), document


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_what_is_in_force_fits_defaults_included(schema: Any, config: Path) -> None:
    environ = dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", config.read_text()), "x")
    shown = in_force(load_settings(config, InstalledPlugins(), environ))
    for agent in shown["agents"].values():
        agent.pop("required_role", None)
    assert not mistakes(schema, shown)


@pytest.mark.parametrize(
    "where, config",
    [
        ("", "[servr]\n"),
        ("server", "[server]\nanonymus = true\n"),
        ("server.anonymous", '[server]\nanonymous = "yes"\n'),
        ("server.listen", '[server]\nlisten = "8080"\n'),
        ("server.max_body", '[server]\nmax_body = "100 megabytes"\n'),
        ("server.grace_seconds", "[server]\ngrace_seconds = -1\n"),
        ("journal.fsync", '[journal]\nfsync = "sometimes"\n'),
        ("agents.support", '[agents.support]\ndescription = "no url"\n'),
        ("agents", "[agents.'a/b']\nurl = 'http://a'\n"),
        ("agents.support.rate_limit", AGENT + 'rate_limit = "100 per min"\n'),
        ("agents.support.concurrency", AGENT + "concurrency = 0\n"),
        ("agents.support.capabilities", AGENT + 'capabilities = "chat"\n'),
        ("agents.support.usage", AGENT + "usage = { input = '/a' }\n"),
        ("plugins.policies.rule.0", '[[plugins.policies.rule]]\nname = "no-condition"\n'),
        ("plugins.policies.rule.0.mode", '[[plugins.policies.rule]]\nname = "a"\ndeny = "true"\nmode = "off"\n'),
        ("plugins.limits.limit.0.per.0", '[[plugins.limits.limit]]\nname = "a"\nrate = "1/s"\nper = ["user"]\n'),
        ("plugins.breaker.failures", "[plugins.breaker]\nfailures = 0\n"),
        ("plugins.roles", "[plugins.roles]\nstrict = true\n"),
        ("plugins.cost.price.0.from", '[[plugins.cost.price]]\nmodel = "a"\nfrom = "soon"\n'),
    ],
)
def test_a_mistake_is_one_for_the_schema_too(schema: Any, where: str, config: str) -> None:
    assert mistakes(schema, config) == [where]


def test_an_editor_sees_all_mistakes_that_stand_in_one_place_at_once(schema: Any) -> None:
    found = mistakes(schema, TEN_MISTAKES)
    assert found == ["agents.support.concurrency", "journal.fsync", "server", "server.listen"]


@pytest.mark.parametrize("value", ['"${LISTEN}"', '"${HOST:-127.0.0.1}:8080"', '"[::1]:0"'])
def test_a_text_may_come_from_the_environment(schema: Any, value: str) -> None:
    assert not mistakes(schema, f"[server]\nlisten = {value}\n")


@attrs.frozen(kw_only=True)
class Shared:
    """What two have in common.

    Args:
        seconds: how long.
    """

    seconds: float = attrs.field(default=1.0, validator=attrs.validators.and_(attrs.validators.gt(0)))


@attrs.frozen(kw_only=True)
class ForeignConfig(Shared):
    """``[plugins.foreign]``: told a lot. See ``Other``.

    Args:
        from_: since when,
            over two lines.
        key: with which.
    """

    from_: date
    key: Secret | None = None
    limit: Rate = attrs.field(factory=lambda: Rate(5, 60.0))
    several: tuple["Other", ...] = ()


@attrs.frozen(kw_only=True)
class Other:
    """Another.

    Args:
        limit: how many; None: any number.
    """

    limit: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(2)))


@pytest.fixture
def with_foreign() -> Any:
    return schema_of({"foreign": PluginSection("A plugin of others.", ForeignConfig)}, closed=True)


def test_a_plugin_of_others_has_its_section(with_foreign: Any) -> None:
    assert with_foreign["properties"]["plugins"]["properties"] == {
        "foreign": {
            "type": "object",
            "description": "A plugin of others. Told a lot.",
            "additionalProperties": False,
            "required": ["from"],
            "properties": {
                "seconds": {"type": "number", "exclusiveMinimum": 0, "default": 1.0, "description": "How long."},
                "from": {
                    "title": "date",
                    "type": "string",
                    "format": "date",
                    "examples": ["2027-01-31"],
                    "description": "Since when, over two lines.",
                },
                "key": {"title": "secret", "type": "string", "description": "With which."},
                "limit": {
                    "title": "rate",
                    "type": "string",
                    "pattern": r"\$\{|^ *[0-9](_?[0-9])* */ *[0-9]* *(s|second|m|minute|h|hour|d|day) *$",
                    "examples": ["100/minute", "5/10s"],
                    "default": "5/minute",
                    "description": "How many; left out: any number.",
                },
                "several": {
                    "type": "array",
                    "default": [],
                    "items": {
                        "type": "object",
                        "description": "Another.",
                        "additionalProperties": False,
                        "properties": {
                            "limit": {
                                "type": "integer",
                                "minimum": 2,
                                "description": "How many; left out: any number.",
                            }
                        },
                    },
                },
            },
        }
    }


def test_other_plugins_are_mistakes_when_all_that_are_installed_are_known(with_foreign: Any) -> None:
    assert mistakes(with_foreign, '[pipeline]\nplugins = ["foreign"]\n[plugins.foreign]\nfrom = 2027-01-31\n') == []
    assert mistakes(with_foreign, '[pipeline]\nplugins = ["foreing"]\n[plugins.other]\n') == [
        "pipeline.plugins.0",
        "plugins",
    ]


def test_the_reference_has_a_line_for_each_key(with_foreign: Any) -> None:
    lines = reference_of(with_foreign).splitlines()
    assert "## `[plugins.foreign]`" in lines
    assert "| `from` | date, such as `2027-01-31` | required | Since when, over two lines. |" in lines
    assert "| `seconds` | number, more than 0 | `1.0` | How long. |" in lines
    assert "## `[[plugins.foreign.several]]`" in lines
