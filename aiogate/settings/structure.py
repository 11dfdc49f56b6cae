"""Plain TOML values to typed facts, strictly: nothing is converted in silence, and every problem is found.

By cattrs; this module says what each type takes and turns cattrs' exception groups into problems with paths.
"""

import re
import types
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)

from aiogate.claims import Rate
from aiogate.errors import Problem
from aiogate.exchange import Secret
from aiogate.settings.interpolate import Interpolated
from aiogate.settings.model import Address, Size

__all__ = ["Structurer"]

T = TypeVar("T")
_Values = str | tuple[str, ...]
_SIZE: Final = re.compile(r"(?P<number>[0-9]+)\s*(?P<unit>B|KiB|MiB|GiB)")
_UNITS: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_ADDRESS: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:\s]+)):(?P<port>[0-9]{1,5})")
_TOML_NAMES: Final = {dict: "a table", list: "an array", str: "a string", bool: "a boolean", int: "a whole number"}


class _MismatchError(ValueError):
    """A value that its type does not take; the message is for the one who wrote the config."""


@attrs.define
class Structurer:
    """Structures the sections of one config file, relative to its folder."""

    folder: Path
    _converter: Converter = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        converter = self._converter = Converter(forbid_extra_keys=True, detailed_validation=True)
        for plain, expected in ((str, "a string"), (bool, "true or false")):
            converter.register_structure_hook(plain, _only(plain, expected))
        converter.register_structure_hook(int, _integer)
        converter.register_structure_hook(float, _number(float))
        converter.register_structure_hook(Decimal, _number(Decimal))
        converter.register_structure_hook(datetime, _moment)
        converter.register_structure_hook(Secret, lambda value, _: Secret(str(_text(value, secret=True))))
        converter.register_structure_hook(Rate, lambda value, _: Rate.parse(_text(value)))
        converter.register_structure_hook(Size, _size)
        converter.register_structure_hook(Address, _address)
        converter.register_structure_hook(Path, lambda value, _: self.folder / _text(value))
        converter.register_structure_hook_func(_is_literal, _one_of)
        converter.register_structure_hook_func(lambda kind: kind == _Values, self._one_or_several)
        converter.register_structure_hook_factory(attrs.has, self._class_hook)
        for container in (tuple, frozenset):
            self._guard(container)

    def structure(self, value: object, kind: type[T], path: str, report: Callable[[Problem], None]) -> T | None:
        """Return ``value`` as ``kind``; reports every problem under ``path`` and returns None when there is one."""
        try:
            return self._converter.structure(value, kind)
        except BaseValidationError as group:
            for problem in _problems(group, path):
                report(problem)
        except (ValueError, TypeError) as error:
            report(Problem(path, _sentence(error)))
        return None

    def _one_or_several(self, value: object, _: object) -> object:
        """Return a string as it is; a field of type ``str | tuple[str, ...]`` may also have an array of them."""
        if isinstance(value, str):
            return str(value)
        if not isinstance(value, list):
            raise _MismatchError(_expected("a string or an array of strings", value))
        return self._converter.structure(value, tuple[str, ...])

    def _class_hook(self, cls: type) -> Callable[[Any, type], Any]:
        """Return what builds ``cls`` from a table; unlike cattrs' own it also runs every field's validator."""
        attrs.resolve_types(cls)

        def structure(value: Any, _: type) -> Any:  # noqa: ANN401 - cattrs' own signature
            if not isinstance(value, dict):
                raise _MismatchError(_expected("a table", value))
            found, errors = self._fields(cls, value)
            errors += _invalid(cls, found)
            if unknown := set(value) - {field.name for field in attrs.fields(cls)}:
                errors.append(ForbiddenExtraKeysError("", cls, unknown))
            if errors:
                raise ClassValidationError(cls.__name__, errors, cls)
            return cls(**found)

        return structure

    def _fields(self, cls: type, table: dict[str, Any]) -> tuple[dict[str, Any], list[Exception]]:
        found: dict[str, Any] = {}
        errors: list[Exception] = []
        for field in attrs.fields(cls):
            if field.name not in table:
                if field.default is attrs.NOTHING:
                    errors.append(_at(field, KeyError(field.name)))
                continue
            try:
                found[field.name] = self._converter.structure(table[field.name], field.type)
            except (ValueError, TypeError, BaseValidationError) as error:
                errors.append(_at(field, error))
        return found, errors

    def _guard(self, container: type) -> None:
        """Let only arrays become tuples and sets: a string is no array of letters."""
        converter = self._converter

        def is_container(kind: Any) -> bool:  # noqa: ANN401 - any annotation
            return bool(get_origin(kind) is container)

        def factory(kind: Any) -> Callable[[Any, Any], Any]:  # noqa: ANN401 - cattrs' own signature
            items: Any = types.GenericAlias(list, (get_args(kind) or (Any,))[0])
            inner: Callable[[Any, Any], list[Any]] = converter.get_structure_hook(items)

            def structure(value: Any, _: Any) -> Any:  # noqa: ANN401 - cattrs' own signature
                if not isinstance(value, list):
                    raise _MismatchError(_expected("an array", value))
                return container(inner(value, items))

            return structure

        converter.register_structure_hook_factory(is_container, factory)


def _at(field: "attrs.Attribute[Any]", error: Exception) -> Exception:
    error.add_note(AttributeValidationNote("", field.name, field.type))
    return error


def _invalid(cls: type, found: dict[str, Any]) -> list[Exception]:
    """Run the validators of the fields that are there, on an instance that has just those."""
    partial: Any = object.__new__(cls)
    for name, value in found.items():
        object.__setattr__(partial, name, value)
    errors: list[Exception] = []
    for field in attrs.fields(cls):
        if field.name in found and field.validator is not None:
            try:
                field.validator(partial, field, found[field.name])
            except AttributeError:
                continue  # it looks at a field that is missing or wrong, which is a problem already
            except (ValueError, TypeError) as error:
                errors.append(_at(field, error))
    return errors


def _is_literal(kind: Any) -> bool:  # noqa: ANN401 - any annotation
    return bool(get_origin(kind) is Literal)


def _expected(what: str, value: object) -> str:
    return f"expected {what}, got {_quoted(value)}"


def _quoted(value: object) -> str:
    """Return what an error may show of a value: never what came out of the environment or a file."""
    if isinstance(value, Interpolated):
        return repr(value.source)
    if isinstance(value, (dict, list)):
        return _TOML_NAMES[type(value)]
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, str) else str(value)


def _text(value: object, *, secret: bool = False) -> str:
    if not isinstance(value, str):
        raise _MismatchError("expected a string" if secret else _expected("a string", value))
    return value


def _only(kind: type, expected: str) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:  # noqa: ANN401 - cattrs' own signature
        if not isinstance(value, kind):
            raise _MismatchError(_expected(expected, value))
        return str(value) if kind is str else value

    return structure


def _integer(value: object, _: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _MismatchError(_expected("a whole number", value))
    return value


def _number(kind: type) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:  # noqa: ANN401 - cattrs' own signature
        if not isinstance(value, (int, Decimal, float)) or isinstance(value, bool):
            raise _MismatchError(_expected("a number", value))
        if not Decimal(value).is_finite():
            raise _MismatchError(_expected("a finite number", value))
        return kind(value)

    return structure


def _moment(value: object, _: object) -> datetime:
    if not isinstance(value, datetime):
        raise _MismatchError(_expected("a date and time such as 2027-01-31T00:00:00Z", value))
    if value.tzinfo is None:
        msg = f"expected a time zone, such as {value.isoformat()}Z"
        raise _MismatchError(msg)
    return value


def _size(value: object, _: object) -> Size:
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise _MismatchError(_expected("a size such as 1048576, '64KiB', '100MiB' or '1GiB'", value))
        return Size(int(match["number"]) * _UNITS[match["unit"]])
    return Size(_integer(value, None))


def _address(value: object, _: object) -> Address:
    match = _ADDRESS.fullmatch(_text(value))
    if match is None or int(match["port"]) > 65535:  # noqa: PLR2004 - the last port
        raise _MismatchError(_expected("'host:port' such as '127.0.0.1:8080' or '[::1]:8080'", value))
    return Address(match["six"] or match["host"], int(match["port"]))


def _one_of(value: object, kind: object) -> object:
    choices = get_args(kind)
    if value not in choices:
        close = get_close_matches(str(value), [str(choice) for choice in choices], n=1)
        hint = f"; did you mean {close[0]!r}?" if close and not isinstance(value, Interpolated) else ""
        raise _MismatchError(_expected("one of " + ", ".join(repr(choice) for choice in choices), value) + hint)
    return value


def _problems(error: BaseException, path: str) -> Iterator[Problem]:
    """Yield the problems in cattrs' tree of exceptions."""
    if isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            yield from _problems(inner, _deeper(path, inner))
    elif isinstance(error, ForbiddenExtraKeysError):
        yield from _unknown_keys(error, path)
    elif isinstance(error, KeyError):
        yield Problem(f"{path}.{error.args[0]}" if path else str(error.args[0]), "is required")
    else:
        yield Problem(path, _sentence(error))


def _deeper(path: str, error: BaseException) -> str:
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote) and not isinstance(error, KeyError):
            return f"{path}.{note.name}" if path else note.name
        if isinstance(note, IterableValidationNote):
            return f"{path}[{note.index}]" if isinstance(note.index, int) else f"{path}.{note.index}"
    return path


def _unknown_keys(error: ForbiddenExtraKeysError, path: str) -> Iterator[Problem]:
    known = [field.name for field in attrs.fields(error.cl)] if attrs.has(error.cl) else []
    for key in sorted(error.extra_fields):
        close = get_close_matches(key, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(known) or 'none'}"
        yield Problem(f"{path}.{key}" if path else key, f"unknown key; {hint}")


def _sentence(error: BaseException) -> str:
    """Return what went wrong in words; attrs' validators put values behind the sentence, which stay there."""
    return str(error.args[0]) if error.args else type(error).__name__
