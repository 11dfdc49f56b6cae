"""The house's floors (README, "How it is built"): a module imports only from lower floors, never round in a circle."""

import ast
from pathlib import Path

import pytest

import aiogate

ROOT = Path(aiogate.__file__).parent
FLOORS = (
    {"errors", "database_file", "board", "claims", "calls", "agent", "exchange", "pepper", "stored_key", "__init__"},
    {"hookspecs", "settings"},
    {"state", "usage", "journal"},
    {"pipeline", "proxy"},
    {"server"},
    {"cli", "testing"},
)
NOUNS = [
    "errors",
    "database_file",
    "board",
    "claims",
    "calls",
    "agent",
    "exchange",
    "pepper",
    "stored_key",
    "hookspecs",
    "__init__",
]


def room(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "aiogate":
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "aiogate"}
    return found


MODULES = sorted(path.relative_to(ROOT).with_suffix("") for path in ROOT.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_from_its_own_or_lower_floors(module: Path) -> None:
    here = module.parts[0]
    for imported in imports(ROOT / module.with_suffix(".py")):
        there = room(imported)
        if here == "builtin":
            allowed = imported == "aiogate" or there in {"usage", "builtin"}
        elif here in NOUNS and there in NOUNS:
            allowed = NOUNS.index(there) < NOUNS.index(here)
        else:
            allowed = there == here or floor(there) < floor(here) or there == "__init__"
        assert allowed, f"{module} imports {imported}"


def floor(name: str) -> int:
    return next(index for index, rooms in enumerate(FLOORS) if name in rooms)


def test_no_file_and_no_function_is_too_long() -> None:
    for module in MODULES:
        text = (ROOT / module.with_suffix(".py")).read_text()
        assert text.count("\n") <= 400, module
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{module}: {node.name}"
