"""What each key of a section means, out of the docstring of its class; for the schema and the reference.

A field is explained in ``Args:`` of its class or of one that the class inherits from, or of one that the docstring
sends the reader to: "See ``Route``." Knows nothing of types and defaults.
"""

import inspect
import re
import sys
from typing import Final

__all__ = ["meanings_of", "summary_of"]

_TITLE: Final = re.compile(r"``\[+[^`]*\]+``(?:: |\.)?")
_SEE: Final = re.compile(r"\bSee ``(?:\w+\.)*(?P<name>\w+)``\.")
_ARGUMENTS: Final = re.compile(r"^Args:\n(?P<body>(?:[ ]{4}.*\n?|\n)+)", re.MULTILINE)
_ARGUMENT: Final = re.compile(r"^    (?P<name>\w+): (?P<meaning>.+(?:\n {5,}.+)*)", re.MULTILINE)
_SPACE: Final = re.compile(r"\s+")


def summary_of(cls: type) -> str:
    """Return what a class is, without the name of its section and without ``Args``."""
    text = _SEE.sub("", _ARGUMENTS.sub("", _TITLE.sub("", _docstring(cls), count=1)))
    return _sentence(text) if text.strip() else ""


def meanings_of(cls: type) -> dict[str, str]:
    """Return the meaning of each field that is explained anywhere, by the field's name."""
    meanings: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        text = _docstring(base)
        for reference in _SEE.finditer(text):
            elsewhere = getattr(sys.modules[base.__module__], reference["name"], None)
            if isinstance(elsewhere, type) and elsewhere is not base:
                meanings |= meanings_of(elsewhere)
        for section in _ARGUMENTS.finditer(text):
            meanings |= {one["name"]: _sentence(one["meaning"]) for one in _ARGUMENT.finditer(section["body"])}
    return meanings


def _docstring(cls: type) -> str:
    return inspect.cleandoc(vars(cls).get("__doc__") or "")


def _sentence(text: str) -> str:
    """Return a text of several lines as one, as Markdown writes it."""
    line = _SPACE.sub(" ", text).strip().replace("``", "`").replace("None:", "left out:")
    return line[:1].upper() + line[1:]
