"""What a plugin class answers, and whether it may: names, colours and options of its hooks.

Looks at classes; builds and calls nothing.
"""

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, Final

import attrs

from aiogate.errors import PluginError
from aiogate.hookspecs import PROJECT, Hooks

__all__ = ["HOOKS", "Implementation", "hooks_of"]

HOOKS: Final = tuple(name for name in vars(Hooks) if not name.startswith("_"))
_PLAIN_ONLY: Final = frozenset({"lifespan", "claims", "response_started"})
_OPTION: Final = f"{PROJECT}_impl"
_ORDERING: Final = ("tryfirst", "trylast", "wrapper", "hookwrapper")


@attrs.frozen(kw_only=True)
class Implementation:
    """One hook of one plugin class: which arguments it wants and whether it has to be awaited."""

    hook: str
    arguments: tuple[str, ...]
    awaits: bool


def hooks_of(cls: type, *, name: str | None = None) -> dict[str, Implementation]:
    """Return the hooks that a plugin class answers, by name, in the order of the contract.

    Raises ``PluginError`` for an unknown hook, a wrong colour, a wrong argument or an ordering option.
    """
    plugin = name or cls.__name__
    marked = {member: options for member, value in _members(cls) if (options := getattr(value, _OPTION, None))}
    for member, options in marked.items():
        _check_name(plugin, member, options)
    return {hook: _implementation(plugin, cls, hook) for hook in HOOKS if hook in marked}


def _members(cls: type) -> list[tuple[str, Any]]:
    return [(member, inspect.getattr_static(cls, member)) for member in dir(cls)]


def _check_name(plugin: str, member: str, options: dict[str, Any]) -> None:
    if member not in HOOKS:
        close = get_close_matches(member, HOOKS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"the hooks are {', '.join(HOOKS)}"
        raise PluginError(plugin, f"there is no hook {member!r}; {hint}")
    for option in _ORDERING:
        if options.get(option):
            message = f"{option} is refused; the order in [pipeline] plugins is the whole truth"
            raise PluginError(plugin, message, hook=member)


def _implementation(plugin: str, cls: type, hook: str) -> Implementation:
    function: Callable[..., object] = getattr(cls, hook)
    awaits = inspect.iscoroutinefunction(function)
    if awaits and hook in _PLAIN_ONLY:
        raise PluginError(plugin, "it must be a plain def, not async def", hook=hook)
    if inspect.isasyncgenfunction(function) or (inspect.isgeneratorfunction(function) and hook != "claims"):
        raise PluginError(plugin, "it must not be a generator", hook=hook)
    arguments = tuple(inspect.signature(function).parameters)[1:]
    known = tuple(inspect.signature(getattr(Hooks, hook)).parameters)[1:]
    for argument in arguments:
        if argument not in known:
            raise PluginError(plugin, f"unknown argument {argument!r}; it may take {', '.join(known)}", hook=hook)
    return Implementation(hook=hook, arguments=arguments, awaits=awaits)
