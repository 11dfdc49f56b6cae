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
PAGES = sorted(ROOT.glob("docs/*.md"))
DOCUMENTS = [path for path in (ROOT / "README.md", *PAGES, MANUAL, *ROOT.glob("plugins/*/README.md")) if path.exists()]
MOST_LINES = 250
"""Of the README, which is for five minutes."""
needs_manual = pytest.mark.skipif(not MANUAL.exists(), reason="plugins/ has been deleted, which hurts nothing else")


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}[^\n]*\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_toml_block_is_toml(document: Path) -> None:
    for block in blocks(document, "toml"):
        assert tomllib.loads(block)


def without_code(path: Path) -> str:
    return re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """What GitHub calls a page's headings."""
    headings = re.findall(r"^#+ (.+)$", without_code(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(document)):
        target, _, anchor = link.partition("#")
        if "://" not in link:
            page = document.parent / target if target else document
            assert page.exists(), link
            assert not anchor or anchor in anchors(page), link


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme.count("\n") <= MOST_LINES
    assert [page.name for page in PAGES if f"(docs/{page.name}" not in readme] == []


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
