"""Plain values to typed facts: what each type takes, and that nothing is converted in silence."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest

from aiogate import Rate, Secret
from aiogate.errors import Problem
from aiogate.settings.interpolate import Interpolated
from aiogate.settings.model import Address, Size
from aiogate.settings.structure import Structurer

FOLDER = Path("/etc/aiogate")
NOON = datetime(2027, 1, 31, 12, tzinfo=UTC)


@attrs.frozen(kw_only=True)
class Inner:
    flag: bool = False


def field_of(kind: Any) -> type:
    return attrs.make_class("Config", {"value": attrs.field(type=kind)}, frozen=True)


def structured(kind: Any, value: object) -> Any:
    problems: list[Problem] = []
    config = Structurer(FOLDER).structure({"value": value}, field_of(kind), "", problems.append)
    assert not problems
    return config.value  # type: ignore[attr-defined]


def refusal_of(kind: Any, value: object) -> str:
    problems: list[Problem] = []
    assert Structurer(FOLDER).structure({"value": value}, field_of(kind), "", problems.append) is None
    [problem] = problems
    assert problem.path.startswith("value")
    return problem.message


@pytest.mark.parametrize(
    "kind, value, expected",
    [
        (str, "a", "a"),
        (int, 81, 81),
        (bool, True, True),
        (float, 5, 5.0),
        (float, Decimal("0.5"), 0.5),
        (Decimal, Decimal("0.10"), Decimal("0.10")),
        (Decimal, 3, Decimal(3)),
        (datetime, NOON, NOON),
        (date, NOON.date(), NOON.date()),
        (Literal["a", "b"], "b", "b"),
        (int | None, 3, 3),
        (tuple[str, ...], ["a", "b"], ("a", "b")),
        (frozenset[str], ["a", "a"], frozenset({"a"})),
        (list[int], [1, 2], [1, 2]),
        (str | tuple[str, ...], "a", "a"),
        (str | tuple[str, ...], ["a"], ("a",)),
        (Mapping[str, int], {"a": 1}, {"a": 1}),
        (Mapping[str, Secret], {"a": "b"}, {"a": Secret("b")}),
        (Inner, {"flag": True}, Inner(flag=True)),
        (tuple[Inner, ...], [{"flag": True}, {}], (Inner(flag=True), Inner())),
        (Secret, "a", Secret("a")),
        (Rate, "100/minute", Rate(100, 60.0)),
        (Address, "127.0.0.1:8080", Address("127.0.0.1", 8080)),
        (Address, "[::1]:0", Address("::1", 0)),
        (Path, "a/b", FOLDER / "a/b"),
        (Path, "/a/b", Path("/a/b")),
        (Size, 1, 1),
        (Size, "64KiB", 64 * 1024),
        (Size, "100MiB", 100 * 1024 * 1024),
        (Size, "1GiB", 1024**3),
    ],
)
def test_a_type_takes_its_own_spelling(kind: Any, value: object, expected: object) -> None:
    found = structured(kind, value)
    assert found == expected
    assert type(found) is type(expected) or kind is Size


@pytest.mark.parametrize(
    "kind, value, message",
    [
        (str, 81, "expected a string, got 81"),
        (int, "81", "expected a whole number, got '81'"),
        (int, True, "expected a whole number, got true"),
        (int, Decimal("1.0"), "expected a whole number, got 1.0"),
        (bool, 1, "expected true or false, got 1"),
        (float, "5", "expected a number, got '5'"),
        (float, True, "expected a number, got true"),
        (float, Decimal("1E+999"), "expected a finite number, got 1E+999"),
        (Decimal, Decimal("NaN"), "expected a finite number, got NaN"),
        (datetime, "2027-01-31", "expected a date and time such as 2027-01-31T00:00:00Z, got '2027-01-31'"),
        (date, NOON, "expected a date such as 2027-01-31, got 2027-01-31T12:00:00+00:00"),
        (date, "2027-01-31", "expected a date such as 2027-01-31, got '2027-01-31'"),
        (datetime, NOON.date(), "expected a date and time such as 2027-01-31T00:00:00Z, got 2027-01-31"),
        (datetime, NOON.replace(tzinfo=None), "expected a time zone, such as 2027-01-31T12:00:00Z"),
        (Literal["auto", "off"], "of", "expected one of 'auto', 'off' (did you mean 'off'?), got 'of'"),
        (Literal[1, 2], True, "expected one of 1, 2, got true"),
        (int | None, "a", "expected a whole number, got 'a'"),
        (tuple[str, ...], "ab", "expected an array, got a string"),
        (tuple[str, ...], {"a": "b"}, "expected an array, got a table"),
        (tuple[str, ...], ["a", 1], "expected a string, got 1"),
        (frozenset[str], "ab", "expected an array, got a string"),
        (list[str], "ab", "expected an array, got a string"),
        (str | tuple[str, ...], 3, "expected a string or an array of strings, got a number"),
        (Mapping[str, int], [1], "expected a table, got an array"),
        (Mapping[str, int], {"a": "b"}, "expected a whole number, got 'b'"),
        (Inner, "hunter2", "expected a table, got a string"),
        (Inner, {"flg": True}, "unknown key; did you mean 'flag'?"),
        (Secret, 12345, "expected a string"),
        (Rate, 100, "expected a rate such as '100/minute', '5/10s' or '1_000/day', got 100"),
        (Address, ":8080", "expected 'host:port' such as '127.0.0.1:8080' or '[::1]:8080', got ':8080'"),
        (Address, "a:65536", "expected 'host:port' such as '127.0.0.1:8080' or '[::1]:8080', got 'a:65536'"),
        (Address, "::1:80", "expected 'host:port' such as '127.0.0.1:8080' or '[::1]:8080', got '::1:80'"),
        (Path, "", "expected a path, got ''"),
        (Size, 0, "expected a size such as 1048576, '64KiB', '100MiB' or '1GiB', got 0"),
        (Size, "100MB", "expected a size such as 1048576, '64KiB', '100MiB' or '1GiB', got '100MB'"),
        (Size, True, "expected a size such as 1048576, '64KiB', '100MiB' or '1GiB', got true"),
    ],
)
def test_a_type_takes_nothing_else(kind: Any, value: object, message: str) -> None:
    assert refusal_of(kind, value) == message


def test_a_type_that_a_config_cannot_hold_is_the_classs_mistake() -> None:
    with pytest.raises(NotImplementedError, match="items of an array are all of one type"):
        Structurer(FOLDER).structure({"value": [1, "a"]}, field_of(tuple[int, str]), "", print)


def _is_even(owner: "Numbers", attribute: "attrs.Attribute[int]", value: int) -> None:
    if value % owner.step:
        msg = f"{attribute.name}: expected an even number, got {value}"
        raise ValueError(msg)


@attrs.frozen(kw_only=True)
class Numbers:
    step: int = 2
    first: int = attrs.field(default=0, validator=_is_even)
    second: int = attrs.field(default=0, validator=_is_even)
    third: int = attrs.field(default=0, converter=int, validator=attrs.validators.lt(9))
    label: "str"  # as a config class with postponed annotations has it

    def __attrs_post_init__(self) -> None:
        if self.first > self.second:
            msg = f"second: expected {self.first} or more"
            raise ValueError(msg)


def of_numbers(**table: object) -> list[str]:
    problems: list[Problem] = []
    Structurer(FOLDER).structure(table, Numbers, "plugins.x", problems.append)
    return [str(problem) for problem in problems]


def test_the_validators_of_all_fields_speak() -> None:
    assert of_numbers(label="a", first=1, second=3, third=9) == [
        "plugins.x.first: expected an even number, got 1",
        "plugins.x.second: expected an even number, got 3",
        "plugins.x.third: 'third' must be < 9: 9",
    ]


def test_a_validator_that_looks_at_a_faulty_field_says_nothing() -> None:
    assert of_numbers(label="a", step="two", first=1) == ["plugins.x.step: expected a whole number, got 'two'"]


def test_a_class_may_name_the_field_that_it_refuses() -> None:
    assert of_numbers(label="a", first=4) == ["plugins.x.second: expected 4 or more"]


def test_a_field_without_a_default_is_required() -> None:
    assert of_numbers() == ["plugins.x.label: is required"]


@attrs.frozen(kw_only=True)
class Dated:
    from_: date | None = attrs.field(default=None)

    @from_.validator
    def _is_late(self, _attribute: object, day: date | None) -> None:
        if day is not None and day.year < 2000:
            msg = f"expected a day after 2000, got {day}"
            raise ValueError(msg)


@pytest.mark.parametrize(
    "table, expected",
    [
        ({"from": date(2026, 1, 1)}, Dated(from_=date(2026, 1, 1))),
        ({}, Dated()),
        ({"from": 5}, ["plugins.x.from: expected a date such as 2027-01-31, got 5"]),
        ({"from": date(1999, 1, 1)}, ["plugins.x.from: expected a day after 2000, got 1999-01-01"]),
        ({"from_": date(2026, 1, 1)}, ["plugins.x.from_: unknown key; did you mean 'from'?"]),
    ],
)
def test_a_key_that_is_no_name_in_python_is_written_without_the_underscore(table: Any, expected: object) -> None:
    problems: list[Problem] = []
    built = Structurer(FOLDER).structure(table, Dated, "plugins.x", problems.append)
    assert (built or [str(problem) for problem in problems]) == expected


@attrs.frozen(kw_only=True)
class Talkative:
    secret: Secret
    text: str
    quote: Callable[[str], str] = str

    def __attrs_post_init__(self) -> None:
        msg = f"{self.quote(self.secret.reveal())} and {self.quote(self.text)}"
        raise ValueError(msg)


@attrs.frozen(kw_only=True)
class Pedantic(Talkative):
    quote: Callable[[str], str] = attrs.field(default=repr)


@pytest.mark.parametrize("kind, message", [(Talkative, "*** and ${X}"), (Pedantic, "'***' and '${X}'")])
def test_a_class_that_quotes_everything_gives_nothing_away(kind: type, message: str) -> None:
    problems: list[Problem] = []
    table = {"secret": "hunter\n2", "text": Interpolated.of("${X}", "hunter\t3")}
    Structurer(FOLDER).structure(table, kind, "plugins.x", problems.append)
    assert problems == [Problem("plugins.x", message)]
