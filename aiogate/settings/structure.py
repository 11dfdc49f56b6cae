"""Plain TOML values to typed facts, strictly: nothing is converted in silence, and every problem is found.

cattrs chooses the hook for a type; the hooks here are for what holds other values. Knows nothing of what the classes
are for: the settings of plugins go the same way.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import attrs
from cattrs import Converter

from aiogate.agent import Secret
from aiogate.errors import Problem
from aiogate.settings.faults import Fault, Faults, MismatchError, dotted, fail, refuse, refuse_kind, unknown
from aiogate.settings.interpolate import Interpolated
from aiogate.settings.scalars import SCALARS, one_of

__all__ = ["Structurer", "key_of"]

T = TypeVar("T")
_ONE_OR_SEVERAL: Final = str | tuple[str, ...]
_NAMED: Final = re.compile(r"(?P<name>\w+): (?P<rest>.+)", re.DOTALL)


class Structurer:
    """Structures the tables of one config file; relative paths, defaults included, start at its folder."""

    def __init__(self, folder: Path) -> None:
        """Say which hook builds what."""
        self._folder = folder
        self._secrets = set[str]()
        self._converter = Converter()
        scalars = SCALARS | {Secret: self._secret, Path: self._path}
        for kind, hook in scalars.items():
            self._converter.register_structure_hook(kind, hook)
        origins: dict[object, Callable[[Any, Any], Any]] = {
            Literal: one_of,
            Mapping: self._mapping,
            dict: self._mapping,
            frozenset: self._array,
            list: self._array,
            tuple: self._array,
        }
        for origin, hook in origins.items():
            self._converter.register_structure_hook_func(_has_origin(origin), hook)
        self._converter.register_structure_hook_func(lambda kind: kind == _ONE_OR_SEVERAL, self._one_or_several)
        self._converter.register_structure_hook_func(attrs.has, self._class)

    def structure(self, value: object, kind: type[T], path: str, report: Callable[[Problem], None]) -> T | None:
        """Return ``value`` as ``kind``; reports every problem under ``path`` and returns None when there is one."""
        try:
            return self._converter.structure(value, kind)
        except MismatchError as error:
            for fault in error.faults:
                report(Problem(dotted(fault.place, path), fault.message))
        return None

    def hide(self, message: str, value: object) -> str:
        """Return what foreign code says of ``value`` without the secrets and the interpolated texts in it."""
        for text in sorted(_texts_in(value), key=len, reverse=True):
            shown = text.source if isinstance(text, Interpolated) else "***"
            if text and (isinstance(text, Interpolated) or text in self._secrets):
                message = message.replace(str(text), shown).replace(str.__repr__(text)[1:-1], shown)
        return message

    def _secret(self, value: object, _: object) -> Secret:
        if not isinstance(value, str):
            fail("expected a string")  # whatever stands here was meant to be secret and is not shown
        self._secrets.add(str(value))
        return Secret(str(value))

    def _path(self, value: object, _: object) -> Path:
        if not isinstance(value, str) or not value or "\0" in value:
            refuse("a path", value)
        return self._folder / value

    def _one_or_several(self, value: object, _: object) -> object:
        """Return a string as it is; a field of type ``str | tuple[str, ...]`` may also have an array of them."""
        if isinstance(value, str):
            return str(value)
        if not isinstance(value, list):
            refuse_kind("a string or an array of strings", value)
        return self._array(value, tuple[str, ...])

    def _array(self, value: object, kind: Any) -> Any:  # noqa: ANN401 - a type and its instance
        if not isinstance(value, list):
            refuse_kind("an array", value)
        item_kind, *others = get_args(kind)
        if others not in ([], [...]):
            msg = f"{kind} is not supported in a Config; items of an array are all of one type"
            raise NotImplementedError(msg)
        faults, items = Faults(), []
        for index, item in enumerate(value):
            with faults.at(index):
                items.append(self._converter.structure(item, item_kind))
        faults.raise_any()
        return get_origin(kind)(items)

    def _mapping(self, value: object, kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a type
        if not isinstance(value, dict):
            refuse_kind("a table", value)
        faults, items = Faults(), {}
        for key, item in value.items():
            with faults.at(key):
                items[key] = self._converter.structure(item, get_args(kind)[1])
        faults.raise_any()
        return items

    def _class(self, value: object, cls: Any) -> Any:  # noqa: ANN401 - a class and its instance
        """Build a class from a table; the validators of all fields run, where its constructor stops at the first."""
        if not isinstance(value, dict):
            refuse_kind("a table", value)
        fields = {key_of(field): field for field in attrs.fields(attrs.resolve_types(cls)) if field.init}
        faults, found, draft = Faults(), dict[str, Any](), object.__new__(cls)
        for name in value:
            if name not in fields:
                faults.add(name, unknown(name, fields))
        for name, field in fields.items():
            with faults.at(name):
                self._fill(draft, field, value, found)
        for name, field in fields.items():
            if field.alias in found and field.validator is not None:
                with faults.at(name), self._foreign(name, value.get(name)), suppress(AttributeError):
                    # AttributeError: it looks at a field that has a fault already; else the constructor asks it again
                    field.validator(draft, field, getattr(draft, field.name))
        faults.raise_any()
        try:
            return cls(**found)
        except (ValueError, TypeError) as error:
            raise MismatchError(_placed(self._said(error, value), fields)) from None

    def _fill(self, draft: object, field: Any, table: dict[str, Any], found: dict[str, Any]) -> None:  # noqa: ANN401
        """Give the draft its value of a field, and ``found`` what the constructor has to be told."""
        name = key_of(field)
        if name in table:
            found[field.alias] = self._converter.structure(table[name], field.type)
        elif field.default is attrs.NOTHING:
            fail("is required")
        elif isinstance(field.default, Path):
            found[field.alias] = self._folder / field.default
        convert = field.converter if callable(field.converter) else _same
        with self._foreign(name, table.get(name)):
            if field.alias in found:
                object.__setattr__(draft, field.name, convert(found[field.alias]))
            elif not hasattr(field.default, "factory"):
                object.__setattr__(draft, field.name, convert(field.default))

    @contextmanager
    def _foreign(self, name: str, value: object) -> Iterator[None]:
        """Turn what a class says of ``value``, its field ``name``, into faults."""
        try:
            yield
        except (ValueError, TypeError) as error:
            said = self._said(error, value)
            raise MismatchError(Fault(one.place, one.message.removeprefix(f"{name}: ")) for one in said) from None

    def _said(self, error: Exception, value: object) -> tuple[Fault, ...]:
        """Return what a class says of ``value``; attrs' validators put more behind the sentence, which stays there."""
        if isinstance(error, MismatchError):
            return error.faults
        message = str(error.args[0]) if error.args else type(error).__name__
        return (Fault((), self.hide(message, value)),)


def key_of(field: Any) -> str:  # noqa: ANN401 - an attrs.Attribute of any type
    """Return how a config writes the name of a field: ``from_`` as ``from``, which is no name in Python."""
    alias: str = field.alias
    return alias.removesuffix("_")


def _placed(faults: tuple[Fault, ...], fields: Mapping[str, object]) -> list[Fault]:
    """Move the name of a field from the start of a message to where the fault is."""
    placed = []
    for fault in faults:
        named = None if fault.place else _NAMED.fullmatch(fault.message)
        known = named is not None and named["name"] in fields
        placed.append(Fault((named["name"],), named["rest"]) if named and known else fault)
    return placed


def _has_origin(origin: object) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) is origin


def _same(value: T) -> T:
    return value


def _texts_in(value: object) -> set[str]:
    match value:
        case str():
            return {value}
        case dict():
            return set().union(*map(_texts_in, value.values()))
        case list():
            return set().union(*map(_texts_in, value))
        case _:
            return set()
