"""The documents run: every TOML block loads, every Python block executes, every hook has its heading."""

import re
import tomllib
from pathlib import Path

import pytest

import aiogate.testing  # noqa: F401 - the manual imports it, in a loop where files must not be read
from aiogate.pipeline.discover import InstalledPlugins
from aiogate.pipeline.inspect import HOOKS
from aiogate.settings.load import load_settings

ROOT = Path(__file__).parent.parent
MANUAL = ROOT / "plugins" / "README.md"
DOCUMENTS = [path for path in (ROOT / "README.md", MANUAL, *ROOT.glob("plugins/*/README.md")) if path.exists()]
needs_manual = pytest.mark.skipif(not MANUAL.exists(), reason="plugins/ has been deleted, which hurts nothing else")


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}[^\n]*\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_toml_block_is_toml(document: Path) -> None:
    for block in blocks(document, "toml"):
        assert tomllib.loads(block)


CONFIGS = sorted(path for path in ROOT.glob("conf/*.toml") if not path.stem.endswith("_test"))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_every_config_that_we_ship_is_in_order(config: Path) -> None:
    environ = dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", config.read_text()), "x")
    assert load_settings(config, InstalledPlugins(), environ).agents


@needs_manual
async def test_the_manuals_python_runs(tmp_path: Path) -> None:
    names: dict[str, object] = {}
    for block in blocks(MANUAL, "python"):
        exec(compile(block, str(MANUAL), "exec"), names)  # noqa: S102 - our own manual
    await names["test_nobody_calls_after_hours"](tmp_path)  # type: ignore[operator] # the manual defines it


@needs_manual
def test_the_manual_has_a_heading_for_every_hook_with_its_arguments() -> None:
    headings = re.findall(r"^### `(\w+)\((\w+)\)`$", MANUAL.read_text(), re.MULTILINE)
    expected = [(hook, "gateway" if hook == "lifespan" else "exchange") for hook in HOOKS]
    assert headings == expected
