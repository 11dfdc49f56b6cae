"""What to write in the place of a mistake in a condition: what people bring along from other languages, and types.

For ``complaints``. Knows a few common mistakes; of the others nothing is said.
"""

from collections.abc import Mapping
from typing import Final

__all__ = ["of_token", "of_types", "of_word"]

_WORDS: Final[Mapping[str, str]] = {
    "and": "'and' is written &&",
    "or": "'or' is written ||",
    "not": "'not' is written !",
    "is": "'is' is written ==",
    "if": "a condition has no 'if': it is what may be true",
    "True": "it is written true",
    "False": "it is written false",
    "None": "it is written null; ask has(...) whether a member is there",
    ">": "'<>' is written !=",
    "contains": 'a list is asked "x" in principal.roles, a text .contains("x")',
    "lower": 'there is no lower(); .matches("(?i)...") looks at neither case',
    "upper": 'there is no upper(); .matches("(?i)...") looks at neither case',
}
_LIST: Final = 'a list is asked "x" in principal.roles'
_COMPARED: Final = frozenset({"==", "!=", "<", "<=", ">", ">="})
_NUMBERS: Final = frozenset({"int", "uint", "double"})


def of_word(word: str) -> str | None:
    """Return what to write for a word or sign that does not belong where it stands."""
    return _WORDS.get(word)


def of_token(token: str) -> str | None:
    """Return what is wrong with a text that CEL does not even take apart."""
    if token.startswith("="):
        return "two values are compared by =="
    return "this text has no closing quote" if token[:1] in {"'", '"'} else None


def of_types(name: str, types: tuple[str, ...]) -> str | None:
    """Return what to do where an operator, or a function of CEL, does not go with these types."""
    lists = [kind for kind in types if kind.startswith("list(")]
    if name in _COMPARED:
        return _of_compared(types, has_a_list=len(lists) == 1)
    if name == "in" and not types[-1].startswith(("list(", "map(")):
        return 'behind \'in\' stands a list, such as ["data", "finance"]; a text is asked .contains("x")'
    if name == "contains" and lists:
        return _LIST
    if name in {"!", "&&", "||", "?:"}:
        return "it goes with what is true or false" + ("; an empty list is size(...) == 0" if lists else "")
    return None


def _of_compared(types: tuple[str, ...], *, has_a_list: bool) -> str | None:
    if has_a_list:
        return _LIST
    if "string" in types and _NUMBERS.intersection(types):
        return "a number has no quotes, a text has them"
    if "timestamp" in types:
        return 'ask time_between(now.time, "08:00", "18:00"), or compare now.hour'
    return None
