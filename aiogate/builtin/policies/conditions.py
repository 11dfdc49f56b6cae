"""The one place that knows CEL: texts to conditions, and conditions to true, false or a failure. It fails closed.

cel-expr-python says a runtime error as a *truthy string* of type ERROR, and a name without a value likewise, so only
the type BOOL counts here; whatever else comes out is a failure, and a failure denies (``verdicts``). Knows nothing of
rules. The library is imported when there is a condition to compile.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import attrs

from aiogate.builtin.policies.complaints import complaint

__all__ = ["Bound", "Condition", "ConditionError", "ConditionFailed", "Function", "Language"]

_SHOWN: Final = 200
_WORD: Final = re.compile(r"\w+")
_MISSING: Final = "a rule needs the package cel-expr-python, which is not installed: pip install cel-expr-python"

Bound = Any
"""Values that conditions are evaluated on; made by ``Language.bind``."""


class ConditionError(ValueError):
    """A condition does not compile; the message has a line with a caret."""


class ConditionFailed(Exception):  # noqa: N818 - it is what became of an evaluation, and ordinary
    """A condition came to neither true nor false."""


@attrs.frozen
class Function:
    """A function for conditions: its parameters and its result in CEL's own words, such as ``list<string>``."""

    name: str
    parameters: tuple[str, ...]
    call: Callable[..., bool]


@attrs.frozen
class Condition:
    """A compiled condition; ``names`` are the variables that it mentions, or may mention."""

    text: str
    names: frozenset[str]
    _program: Any
    _bool: Any

    def holds(self, bound: Bound) -> bool:
        """Tell whether the condition is true; raises ``ConditionFailed`` when it is neither true nor false."""
        try:
            result = self._program.eval(bound)
            kind, value = result.type(), result.plain_value()
        except Exception as error:  # the border to CEL: whatever it raises denies
            msg = f"{type(error).__name__}: {error}"
            raise ConditionFailed(msg) from error
        if kind != self._bool:
            msg = f"it came to {kind.name()}: {str(value)[:_SHOWN]}"
            raise ConditionFailed(msg)
        return value is True


class Language:
    """What conditions can say: the variables by name with their types in CEL's own words, and the functions."""

    def __init__(self, names: Mapping[str, str], functions: Iterable[Function]) -> None:
        """Make the environment; raises ``ConditionError`` when CEL is not installed."""
        try:
            from cel_expr_python import cel  # noqa: PLC0415 - 14 MB that only a gateway with rules needs
        except ImportError as error:
            raise ConditionError(_MISSING) from error
        self._names = tuple(names)
        self._functions = tuple(function.name for function in functions)
        self._bool = cel.Type.BOOL
        self._environment = cel.NewEnv(
            variables={name: cel.Type(kind) for name, kind in names.items()},
            functions=[_declaration(cel, function) for function in functions],
        )

    def compile(self, text: str) -> Condition:
        """Return the condition; raises ``ConditionError`` when it is not in order or can never be true or false."""
        try:
            program = self._environment.compile(text)
        except Exception as error:
            raise ConditionError(complaint(str(error), text, (*self._names, *self._functions))) from error
        kind = program.return_type().name()
        if kind not in {"BOOL", "DYN"}:
            msg = f"expected a condition that is true or false; this one is of type {kind}"
            raise ConditionError(msg)
        words = set(_WORD.findall(text))
        # A word within a string counts too: a name too many costs a value, a name too few would deny.
        names = frozenset(name for name in self._names if words.issuperset(name.split(".")))
        return Condition(text, names, program, self._bool)

    def any_of(self, conditions: Iterable[Condition]) -> Condition | None:
        """Return the condition that is false when all of these are, and only then; None when CEL takes none so big.

        It says nothing about which of them is true first: ``true || error`` is true.
        """
        try:
            # a line of its own each: a condition may end in a comment
            return self.compile(" || ".join(f"({condition.text}\n)" for condition in conditions))
        except ConditionError:
            return None

    def bind(self, values: Mapping[str, object]) -> Bound:
        """Return the values for ``Condition.holds``; names that have none fail, as do those that CEL cannot take."""
        try:
            return self._environment.Activation(values)
        except Exception:  # noqa: BLE001 - the border to CEL: a value that it refuses is no value
            return self._environment.Activation(
                {name: value for name, value in values.items() if self._takes(name, value)}
            )

    def _takes(self, name: str, value: object) -> bool:
        try:
            self._environment.Activation({name: value})
        except Exception:  # noqa: BLE001 - as above
            return False
        return True


def _declaration(cel: Any, function: Function) -> Any:  # noqa: ANN401 - a library without types
    parameters = [cel.Type(kind) for kind in function.parameters]
    overload = cel.Overload(f"aiogate_{function.name}", cel.Type.BOOL, parameters, False, function.call)
    return cel.FunctionDecl(function.name, [overload])
