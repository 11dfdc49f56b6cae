"""Puts the environment and secret files into the texts of a config: ``${VAR}``, ``${VAR:-default}``, ``${file:PATH}``.

Works on the parsed document, so that no value can change the config's structure. Knows nothing of what a key means.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

from aiogate.errors import Problem
from aiogate.settings.faults import Place, dotted

__all__ = ["Interpolated", "interpolate"]

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{(?P<body>[^{}]*)\}|\$\{")
_VARIABLE: Final = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)


class Interpolated(str):
    """A text with something put in; its ``repr`` is that of what the config says, so that no error quotes the text."""

    __slots__ = ("source",)
    source: str

    @classmethod
    def of(cls, source: str, text: str) -> Self:
        """Return ``text``, for which the config says ``source``."""
        put_in = cls(text)
        put_in.source = source
        return put_in

    def __repr__(self) -> str:
        """Return the quoted source."""
        return repr(self.source)


def interpolate(
    tables: dict[str, Any],
    environ: Mapping[str, str],
    folder: Path,
    report: Callable[[Problem], None],
) -> dict[str, Any]:
    """Return the document with every reference replaced; of one that leads nowhere ``""`` is left, and it is reported.

    ``folder`` is where the paths of files start.
    """

    def walk(value: Any, place: Place) -> Any:  # noqa: ANN401 - what TOML holds
        if isinstance(value, dict):
            return {key: walk(item, (*place, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item, (*place, index)) for index, item in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return put_in(value, place)
        return value

    def put_in(text: str, place: Place) -> str:
        try:
            return Interpolated.of(text, _REFERENCE.sub(lambda match: _value(match, environ, folder), text))
        except LookupError as error:
            report(Problem(dotted(place), str(error.args[0])))
        return Interpolated.of(text, "")

    walked: dict[str, Any] = walk(tables, ())
    return walked


def _value(match: re.Match[str], environ: Mapping[str, str], folder: Path) -> str:
    reference = match["body"]
    if match[0] == "$${":
        return "${"
    if reference is None:
        msg = "'${' has no '}', or another '{' before it; a '${' that stands for itself is written '$${'"
        raise LookupError(msg)
    if reference.startswith("file:"):
        return _content(folder / reference.removeprefix("file:"), match[0])
    variable = _VARIABLE.fullmatch(reference)
    if variable is None:
        msg = f"{match[0]} is no reference; write ${{VAR}}, ${{VAR:-default}}, ${{file:PATH}} or $${{ for itself"
        raise LookupError(msg)
    return _variable(environ, variable["name"], variable["default"])


def _variable(environ: Mapping[str, str], name: str, default: str | None) -> str:
    """Read ``:-`` as a shell does: the default counts for an empty variable too."""
    if default is not None:
        return environ.get(name) or default
    if name not in environ:
        msg = f"environment variable {name} is not set; ${{{name}:-default}} gives it a default"
        raise LookupError(msg)
    return environ[name]


def _content(path: Path, reference: str) -> str:
    try:
        text = path.read_bytes().decode()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8, or no path"
        msg = f"{reference} cannot be read: {reason}"
        raise LookupError(msg) from None
    return text.removesuffix("\n").removesuffix("\r")
