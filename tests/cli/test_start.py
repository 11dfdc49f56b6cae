"""What is loaded before anybody can be served: nothing that is heavy and that nobody has asked for yet.

Names in the place of seconds, which belong to a machine. On an idle one ``aiogate --help`` takes a tenth of a second.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
HELP = "import aiogate.cli"
SERVE = "import aiogate.cli.serve"
STARTED = """
import asyncio, os, pathlib
from aiogate.pipeline.load import load
from aiogate.server.gateway import Gateway

async def start():
    gateway = Gateway(*load(pathlib.Path({path!r}), os.environ))
    await gateway.start()
    print(*sorted(sys.modules))
    await gateway.stop(grace_seconds=0.0)

asyncio.run(start())
"""
LATER = {
    "genai_prices": "list prices, which are loaded beside the loop when the gateway serves",
    "pydantic": "comes with genai_prices",
    "httpx": "comes with genai_prices",
    "httpx2": "comes with genai_prices",
    "redis": "state is in memory",
    "gunicorn": "there is one worker",
    "watchfiles": "nobody has asked for --watch",
    "rich": "nobody has asked for colours",
    "jsonschema": "belongs to tests",
    "aiohttp_sse_client": "belongs to clients",
    "aiogate.testing": "belongs to tests",
}
FOR_HELP = {"aiohttp", "attr", "orjson", "pluggy", "multidict", "asyncio", "ssl", "cattrs", "importlib.metadata"}


def loaded(code: str) -> set[str]:
    """Return the modules that are there after a fresh interpreter has run the code, which may say them itself."""
    code = f"import sys\n{code}\n" + ("" if "print" in code else "print(*sorted(sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_help_needs_hardly_anything() -> None:
    assert loaded(HELP) & FOR_HELP - loaded("") == set()


def test_what_serves_needs_nothing_of_what_only_some_configs_do() -> None:
    there = loaded(SERVE)
    assert {name: why for name, why in LATER.items() if name in there} == {}
    assert "cel_expr_python" not in there


def test_the_default_config_starts_without_what_can_wait(tmp_path: Path) -> None:
    text = re.sub(r'listen = "127.0.0.1:\d+"', 'listen = "127.0.0.1:0"', (ROOT / "conf" / "gateway.toml").read_text())
    path = tmp_path / "gateway.toml"
    path.write_text(text.replace("../var/journal", "journal"))
    there = loaded(STARTED.format(path=str(path)))
    assert {name: why for name, why in LATER.items() if name in there} == {}
    assert "aiogate.builtin.demo_agent" in there


@pytest.mark.parametrize("name", ["Exchange", "hookimpl", "refusal"])
def test_a_public_name_is_there_when_it_is_asked_for(name: str) -> None:
    assert "aiogate.exchange" in loaded(f"from aiogate import {name}")


def test_what_is_no_public_name_is_none() -> None:
    import aiogate  # noqa: PLC0415 - what it has and has not is the test's subject

    with pytest.raises(AttributeError, match="has no attribute 'exchanges'"):
        _ = aiogate.exchanges  # type: ignore[attr-defined]
