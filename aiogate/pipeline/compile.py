"""Plugins to compiled stages: one tuple of bound methods per hook, in the order of the config.

pluggy validates and holds the implementations; nothing of it is on the path of a request.
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pluggy

from aiogate.errors import PluginError
from aiogate.hookspecs import PROJECT, Hooks
from aiogate.pipeline.inspect import HOOKS, Implementation, hooks_of

__all__ = ["Stages", "Step", "compile_stages"]

Step = tuple[str, Callable[[Any], Any], bool]
"""Plugin name, bound method of one argument, whether its answer has to be awaited."""


@attrs.frozen(kw_only=True)
class Stages:
    """The steps of each hook, ready to be called in this order."""

    lifespan: tuple[Step, ...]
    pre_request: tuple[Step, ...]
    route: tuple[Step, ...]
    claims: tuple[Step, ...]
    response_started: tuple[Step, ...]
    post_response: tuple[Step, ...]


def compile_stages(plugins: Mapping[str, object]) -> Stages:
    """Return the stages of the plugins, which are given by name in the order of the config.

    Raises ``PluginError`` for what pluggy or ``hooks_of`` refuses.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    steps: dict[str, list[Step]] = {hook: [] for hook in HOOKS}
    for name, plugin in plugins.items():
        try:
            manager.register(plugin, name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(name, str(error)) from error
        for hook, implementation in hooks_of(type(plugin), name=name).items():
            steps[hook].append((name, _bound(plugin, implementation), implementation.awaits))
    steps["post_response"].reverse()
    return Stages(**{hook: tuple(found) for hook, found in steps.items()})


def _bound(plugin: object, implementation: Implementation) -> Callable[[Any], Any]:
    method: Callable[..., Any] = getattr(plugin, implementation.hook)
    return method if implementation.arguments else lambda _argument: method()
