"""The one place that knows CEL: texts to conditions, and conditions to true, false or a failure. It fails closed.

cel-expr-python says a runtime error as a *truthy string* of type ERROR, and a name without a value likewise, so only
the type BOOL counts here; whatever else comes out is a failure, and a failure denies (``verdicts``). Knows nothing of
rules. The library is imported when there is a condition to compile.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final
from weakref import WeakValueDictionary

import attrs

from aiogate.builtin.policies.calls import calls_in
from aiogate.builtin.policies.complaints import complaint, whole

__all__ = ["Bound", "Call", "Condition", "ConditionError", "ConditionFailed", "Function", "Language"]

_SHOWN: Final = 200
_WORD: Final = re.compile(r"\w+")
_CALLS: Final = "calls"
_MISSING: Final = "a rule needs the package cel-expr-python, which is not installed: pip install cel-expr-python"
_LOCAL: Final = (
    "{name} takes no variable of exists(), all(), filter() or map(), and no macro with one; of a text use .matches()"
)


class ConditionError(ValueError):
    """A condition does not compile; the message has a line with a caret."""


class ConditionFailed(Exception):  # noqa: N818 - it is what became of an evaluation, and ordinary
    """A condition came to neither true nor false."""


@attrs.frozen
class Function:
    """A function for conditions: its parameters in CEL's own words, such as ``list<string>``; it tells true or false.

    ``call`` may raise ``ValueError``: then the condition fails, if it needs the result.
    """

    name: str
    parameters: tuple[str, ...]
    call: Callable[..., bool]


@attrs.frozen
class Bound:
    """Values that conditions are evaluated on; ``reasons`` say why a call has no result, by its key."""

    activation: Any
    reasons: Mapping[str, str]


@attrs.frozen
class Argument:
    """An argument of a call: a constant, the name of a variable, or a term that has to be evaluated."""

    term: "Condition"
    is_constant: bool
    constant: object = None

    def value(self, values: Mapping[str, object], bound: Callable[[], Bound]) -> object:
        """Return what the function gets; raises ``ConditionFailed`` when there is no value."""
        if self.is_constant:
            return self.constant
        return values[self.term.text] if self.term.text in values else self.term.value(bound())


@attrs.frozen(eq=False)
class Call:
    """A call of a function, asked before the conditions that it stands in; ``key`` is its name among all."""

    key: str
    function: Function
    arguments: tuple[Argument, ...]

    def result(self, values: Mapping[str, object], bound: Callable[[], Bound]) -> bool:
        """Return what the function says; raises what it raises, and ``ConditionFailed``."""
        return self.function.call(*[argument.value(values, bound) for argument in self.arguments])


@attrs.frozen(eq=False)
class Condition:
    """A compiled condition, or an argument of a call in one.

    Args:
        text: as it was written.
        names: the variables that it mentions, or may mention.
        calls: those within it, each behind those that it needs.
        rewritten: the text with the names of their results in the place of the calls.
    """

    text: str
    names: frozenset[str]
    calls: tuple[Call, ...]
    rewritten: str
    _program: Any
    _bool: Any

    def mentions(self, name: str, *, but_in: str) -> bool:
        """Tell whether it may mention a variable anywhere but as an argument of the function ``but_in``."""
        if name not in self.names:
            return False
        places = [self.rewritten]
        for call in self.calls:
            places += [argument.term.rewritten for argument in call.arguments if call.function.name != but_in]
            places += [argument.term.rewritten for argument in call.arguments if argument.term.text != name]
        return any(_words(place).issuperset(name.split(".")) for place in places)

    def holds(self, bound: Bound) -> bool:
        """Tell whether the condition is true; raises ``ConditionFailed`` when it is neither true nor false."""
        return self._evaluated(bound, lambda kind: kind == self._bool) is True

    def value(self, bound: Bound) -> object:
        """Return what it comes to; raises ``ConditionFailed`` when it comes to nothing."""
        return self._evaluated(bound, lambda kind: kind.name() not in {"ERROR", "UNKNOWN"})

    def _evaluated(self, bound: Bound, is_expected: Callable[[Any], bool]) -> object:
        try:
            result = self._program.eval(bound.activation)
            kind, value = result.type(), result.plain_value()
        except Exception as error:  # the border to CEL: whatever it raises denies
            msg = f"{type(error).__name__}: {error}"
            raise ConditionFailed(msg) from error
        if not is_expected(kind):
            reasons = [reason for key, reason in bound.reasons.items() if f'"{key}"' in str(value)]
            msg = reasons[0] if reasons else f"it came to {kind.name()}: {str(value)[:_SHOWN]}"
            raise ConditionFailed(msg)
        return value


class Language:
    """What conditions can say: the variables by name with their types in CEL's own words, and the functions."""

    def __init__(self, names: Mapping[str, str], functions: Iterable[Function]) -> None:
        """Make the environment; raises ``ConditionError`` when CEL is not installed."""
        try:
            from cel_expr_python import cel  # noqa: PLC0415 - 14 MB that only a gateway with rules needs
        except ImportError as error:
            raise ConditionError(_MISSING) from error
        self._functions = {function.name: function for function in functions}
        self._names = tuple(names)
        takes = {name: f"({', '.join(function.parameters)})" for name, function in self._functions.items()}
        self._known = {**names, **takes}
        self._calls = WeakValueDictionary[str, Call]()
        self._numbers = count()
        self._conditions = WeakValueDictionary[str, Condition]()
        self._pages = WeakValueDictionary[str, Condition]()
        self._last: Condition | None = None
        self._bool = cel.Type.BOOL
        variables = {name: cel.Type(kind) for name, kind in names.items()}
        declared = [_declaration(cel, function) for function in self._functions.values()]
        self._written = cel.NewEnv(variables=variables, functions=declared)
        self._run = cel.NewEnv(variables={**variables, _CALLS: cel.Type("map<string, bool>")})

    def compile(self, text: str) -> Condition:
        """Return the condition; raises ``ConditionError`` when it is not in order or can never be true or false.

        One that somebody still has is the same one, so that a reload compiles what is new; the last one is kept, for a
        config is validated twice.
        """
        self._last = self._conditions.get(text) or self._new(text)
        return self._last

    def _new(self, text: str) -> Condition:
        kind = self._compiled(self._written, text).return_type().name()
        if kind not in {"BOOL", "DYN"}:
            msg = f"expected a condition that is true or false; this one is of type {kind}"
            raise ConditionError(whole(msg, text))
        condition = self._conditions[text] = self._term(text)
        return condition

    def any_of(self, conditions: Iterable[Condition]) -> Condition | None:
        """Return the condition that is false when all of these are, and only then; None when CEL takes none so big.

        It says nothing about which of them is true first: ``true || error`` is true.
        """
        conditions = tuple(conditions)
        # a line of its own each: a condition may end in a comment
        text = " || ".join(f"({condition.rewritten}\n)" for condition in conditions)
        if (known := self._pages.get(text)) is not None:
            return known
        try:
            program = self._compiled(self._run, text)
        except ConditionError:
            return None
        names = frozenset[str]().union(*(condition.names for condition in conditions))
        calls = dict.fromkeys(call for condition in conditions for call in condition.calls)
        together = self._pages[text] = Condition(text, names, tuple(calls), text, program, self._bool)
        return together

    def bind(self, values: Mapping[str, object], calls: Sequence[Call] = ()) -> Bound:
        """Return the values for ``Condition.holds``, and the results of ``calls``.

        Names that have no value fail, as do those whose values CEL cannot take.
        """
        if not calls:
            return Bound(self._activation(values), {})
        results: dict[str, bool] = {}
        reasons: dict[str, str] = {}
        known: dict[str, object] = {**values, _CALLS: results}

        def bound() -> Bound:
            return Bound(self._activation(known), reasons)

        for call in calls:
            try:
                results[call.key] = call.result(values, bound)
            except (ValueError, ConditionFailed) as error:
                reasons[call.key] = f"{call.function.name}: {error}"
        return bound()

    def _term(self, text: str) -> Condition:
        """Return a text that is in order as it is run: without its calls."""
        calls: dict[Call, None] = {}
        rewritten, position = "", 0
        for found in calls_in(text, self._functions):
            source = text[found.start : found.end]
            call = self._calls.get(source)
            if call is None:
                arguments = tuple(self._argument(text[start:end], found.name) for start, end in found.arguments)
                call = self._calls[source] = Call(f"c{next(self._numbers)}", self._functions[found.name], arguments)
            calls.update(dict.fromkeys(inner for argument in call.arguments for inner in argument.term.calls))
            calls[call] = None
            rewritten += f"{text[position : found.start]}{_CALLS}.{call.key}"
            position = found.end
        rewritten += text[position:]
        words = _words(text)
        # A word within a string counts too: a name too many costs a value, a name too few would deny.
        names = frozenset(name for name in self._names if words.issuperset(name.split(".")))
        return Condition(text, names, tuple(calls), rewritten, self._compiled(self._run, rewritten), self._bool)

    def _argument(self, text: str, name: str) -> Argument:
        try:
            term = self._term(text.strip())
        except ConditionError as error:  # the whole is in order, so it is a name that only the whole knows
            raise ConditionError(_LOCAL.format(name=name)) from error
        if not term.names and not term.calls:
            with suppress(ConditionFailed):
                return Argument(term, is_constant=True, constant=term.value(self.bind({})))
        return Argument(term, is_constant=False)

    def _compiled(self, environment: Any, text: str) -> Any:  # noqa: ANN401 - a library without types
        try:
            return environment.compile(text)
        except Exception as error:  # the border to CEL: whatever it raises is a problem of the text
            raise ConditionError(complaint(str(error), text, self._known)) from error

    def _activation(self, values: Mapping[str, object]) -> Any:  # noqa: ANN401 - likewise
        try:
            return self._run.Activation(values)
        except Exception:  # noqa: BLE001 - the border to CEL: a value that it refuses is no value
            return self._run.Activation({name: value for name, value in values.items() if self._takes(name, value)})

    def _takes(self, name: str, value: object) -> bool:
        try:
            self._run.Activation({name: value})
        except Exception:  # noqa: BLE001 - as above
            return False
        return True


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text))


def _declaration(cel: Any, function: Function) -> Any:  # noqa: ANN401 - a library without types
    parameters = [cel.Type(kind) for kind in function.parameters]
    return cel.FunctionDecl(function.name, [cel.Overload(f"aiogate_{function.name}", cel.Type.BOOL, parameters, False)])
