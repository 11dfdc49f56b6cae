"""How an agent's ``usage`` is written in a config: a word, or a table of JSON pointers; both ways.

For the scalars and for ``aiogate config show``. Knows nothing of what the words mean.
"""

from difflib import get_close_matches
from typing import Final

from aiogate.agent import UsageRule
from aiogate.settings.faults import Faults, fail, refuse, refuse_kind, unknown
from aiogate.settings.interpolate import Interpolated

__all__ = ["FIGURES", "WORDS", "usage_rule", "written"]

WORDS: Final = ("recognised", "declared", "estimate", "openai", "anthropic", "gemini", "ollama", "a2a")
FIGURES: Final = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
)
_WHOLE: Final = ("input_tokens", "output_tokens")
_RECOGNISED: Final = UsageRule()


def usage_rule(value: object, _: object) -> UsageRule:
    """Return the rule that a word or a table of pointers (RFC 6901) stands for."""
    if isinstance(value, dict):
        return _of_pointers(value)
    if not isinstance(value, str):
        refuse_kind("a word or a table of JSON pointers", value)
    if value not in WORDS:
        close = [] if isinstance(value, Interpolated) else get_close_matches(value, WORDS, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        refuse(f"one of {', '.join(map(repr, WORDS))}{hint} or a table of JSON pointers", value)
    return _RECOGNISED if value == _RECOGNISED.kind else UsageRule(kind=str(value))


def written(rule: UsageRule) -> str | dict[str, str]:
    """Return what a config writes for a rule."""
    if not rule.pointers:
        return rule.kind
    escaped = {name: [step.replace("~", "~0").replace("/", "~1") for step in steps] for name, steps in rule.pointers}
    return {name: "".join(f"/{step}" for step in steps) for name, steps in escaped.items()}


def _of_pointers(table: dict[str, object]) -> UsageRule:
    faults, pointers = Faults(), []
    for name, pointer in table.items():
        if name not in {*FIGURES, "model"}:
            faults.add(name, unknown(name, (*FIGURES, "model")))
            continue
        with faults.at(name):
            pointers.append((name, _steps(pointer)))
    faults.raise_any()
    if not any(name in _WHOLE for name, _ in pointers):
        fail("expected a pointer for input_tokens, output_tokens or both")
    return UsageRule(kind="pointers", pointers=tuple(pointers))


def _steps(pointer: object) -> tuple[str, ...]:
    """Return the keys and indices that a JSON pointer names."""
    if not isinstance(pointer, str) or not pointer.startswith("/") or _has_half_an_escape(pointer):
        refuse("a JSON pointer such as '/meta/usage/in'", pointer)
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/"))


def _has_half_an_escape(pointer: str) -> bool:
    return "~" in pointer.replace("~0", "").replace("~1", "")
