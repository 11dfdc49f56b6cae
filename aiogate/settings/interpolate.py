"""Puts the environment and secret files into the texts of a config: ``${VAR}``, ``${VAR:-default}``, ``${file:PATH}``.

Works on the parsed document, so that no value can change the config's structure. Knows nothing of what a key means.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from aiogate.errors import Problem

__all__ = ["Interpolated", "interpolate"]

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{(?P<name>[^}]*)\}")
_VARIABLE: Final = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)


class Interpolated(str):
    """A text with something put in; ``source`` is what the config says, which is all that an error may quote."""

    __slots__ = ("source",)
    source: str


def interpolate(
    tables: dict[str, Any],
    environ: Mapping[str, str],
    folder: Path,
    report: Callable[[Problem], None],
) -> dict[str, Any]:
    """Return the document with every reference replaced; a reference that leads nowhere is reported."""

    def walk(value: Any, path: str) -> Any:  # noqa: ANN401 - what TOML holds
        if isinstance(value, dict):
            return {key: walk(item, f"{path}.{key}" if path else key) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item, f"{path}[{index}]") for index, item in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return _put_in(value, path)
        return value

    def _put_in(text: str, path: str) -> str:
        try:
            found = Interpolated(_REFERENCE.sub(lambda match: _value(match, environ, folder), text))
        except LookupError as error:
            report(Problem(path, str(error.args[0])))
            found = Interpolated(text)
        found.source = text
        return found

    walked: dict[str, Any] = walk(tables, "")
    return walked


def _value(match: re.Match[str], environ: Mapping[str, str], folder: Path) -> str:
    reference = match["name"]
    if reference is None:
        return "${"
    if reference.startswith("file:"):
        return _content(folder / reference.removeprefix("file:"), reference)
    variable = _VARIABLE.fullmatch(reference)
    if variable is None:
        msg = f"${{{reference}}} is no reference; write ${{VAR}}, ${{VAR:-default}}, ${{file:PATH}} or $${{ for itself"
        raise LookupError(msg)
    name, default = variable["name"], variable["default"]
    if value := environ.get(name):
        return value
    if default is not None:
        return default
    msg = f"environment variable {name} is not set; ${{{name}:-default}} gives it a default"
    raise LookupError(msg)


def _content(path: Path, reference: str) -> str:
    try:
        return path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        msg = f"${{{reference}}} cannot be read: {reason}"
        raise LookupError(msg) from error
