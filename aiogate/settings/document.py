"""A config as one document: the main file, and the files that it includes put together with it; for the loader.

Knows which file and line each key came from; knows nothing of what a key means.
"""

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import attrs

from aiogate.errors import Problem, SettingsError
from aiogate.settings.faults import Place, dotted
from aiogate.settings.lines import LAST_STEP, Lines
from aiogate.settings.read import read_tables, read_text

__all__ = ["Document", "included"]

_INCLUDE: Final = "include"


@attrs.define
class _Source:
    """One file of a document."""

    path: Path
    text: str
    _lines: Lines | None = None

    def line(self, path: str) -> int | None:
        """Return the line of a key; reads the text again only when somebody complains."""
        if self._lines is None:
            self._lines = Lines.of(self.text)
        return self._lines.line(path)


@attrs.define
class Document:
    """The tables of a config, ``include`` resolved and taken out.

    Tables of several files are merged, arrays of tables are appended, main file first; nothing else may be there twice.
    Relative paths in included files start, as all do, at the folder of the main file.
    """

    path: Path
    tables: dict[str, Any]
    include: tuple[str, ...]
    _sources: list[_Source]
    _origins: dict[str, tuple[_Source, str]] = attrs.field(factory=dict)
    _problems: list[Problem] = attrs.field(factory=list)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a config and what it includes; raises ``SettingsError`` with all that cannot be put together."""
        source = _Source(path, read_text(path))
        tables = read_tables(path, source.text)
        patterns = tables.pop(_INCLUDE, [])
        document = cls(path, tables, tuple(patterns) if isinstance(patterns, list) else (), [source])
        for problem_or_file in included(path, patterns):
            if isinstance(problem_or_file, Problem):
                document._problems.append(document.placed(problem_or_file))
            else:
                document._include(problem_or_file)
        if document._problems:
            raise SettingsError(str(path), document._problems)
        return document

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the document was put together from, the main one first."""
        return tuple(source.path for source in self._sources)

    @property
    def texts(self) -> dict[Path, str]:
        """The texts of these files, as they were read."""
        return {source.path: source.text for source in self._sources}

    def placed(self, problem: Problem) -> Problem:
        """Return a problem with its line, and with its file where that is an included one."""
        source, path = self._origin(problem.path)
        return attrs.evolve(problem, line=source.line(path), file=self._name(source))

    def in_order(self, problems: list[Problem]) -> list[Problem]:
        """Return the problems with their places, in the order of the files; last is what is missing in them."""
        names = [self._name(source) for source in self._sources]
        placed = [self.placed(problem) for problem in problems]
        return sorted(placed, key=lambda one: (one.line is None, names.index(one.file), one.line or 0))

    def _origin(self, path: str) -> tuple[_Source, str]:
        prefix = path
        while prefix and prefix not in self._origins:
            prefix = LAST_STEP.sub("", prefix)
        if not prefix:
            return self._sources[0], path
        source, there = self._origins[prefix]
        return source, there + path.removeprefix(prefix)

    def _name(self, source: _Source) -> str | None:
        return None if source is self._sources[0] else str(source.path)

    def _include(self, path: Path) -> None:
        try:
            source = _Source(path, read_text(path))
            tables = read_tables(path, source.text)
        except SettingsError as error:
            self._problems += [attrs.evolve(problem, file=str(path)) for problem in error.problems]
            return
        self._sources.append(source)
        if tables.pop(_INCLUDE, None) is not None:
            message = "is for the main file alone; an included file includes no others"
            self._problems.append(Problem(_INCLUDE, message, source.line(_INCLUDE), str(path)))
        self._merge(self.tables, tables, (), source)

    def _merge(self, into: dict[str, Any], tables: dict[str, Any], place: Place, source: _Source) -> None:
        for key, value in tables.items():
            here = (*place, key)
            if key not in into:
                into[key] = value
                self._origins[dotted(here)] = source, dotted(here)
            elif isinstance(into[key], dict) and isinstance(value, dict):
                self._merge(into[key], value, here, source)
            elif _is_array_of_tables(into[key]) and _is_array_of_tables(value):
                for index, item in enumerate(value):
                    self._origins[dotted((*here, len(into[key])))] = source, dotted((*here, index))
                    into[key].append(item)
            else:
                self._twice(dotted(here), source)

    def _twice(self, path: str, source: _Source) -> None:
        first, there = self._origin(path)
        line = first.line(there)
        place = f"{first.path}, line {line}" if line is not None else str(first.path)
        self._problems.append(Problem(path, f"is given twice, also in {place}", source.line(path), str(source.path)))


def included(path: Path, patterns: object) -> Iterator[Path | Problem]:
    """Yield the files that patterns name, relative to the folder of ``path``, each once, by pattern and then by name.

    A pattern that names none is a problem: rules that went missing must not go unnoticed.
    """
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) and pattern for pattern in patterns):
        yield Problem(_INCLUDE, 'expected an array of paths, such as ["policies/*.toml"]')
        return
    folder, seen = path.absolute().parent, {path.absolute()}
    for index, pattern in enumerate(patterns):
        names = sorted(glob.glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207 - Path.glob takes dotfiles too
        if not names:
            yield Problem(dotted((_INCLUDE, index)), f"{pattern!r} names no file in {folder}")
        for name in names:
            file = folder / name
            if file not in seen:
                seen.add(file)
                yield path.parent / name


def _is_array_of_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
