"""The plugins in force: which hooks they answer, how long these take, and how often they have failed."""

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from aiogate.pipeline.inspect import hooks_of
from aiogate.server.admin.answers import json
from aiogate.server.admin.route import Route
from aiogate.server.admin.running import Running, gateway_of
from aiogate.server.admin.schemas import COUNT, NUMBER, TEXT, array, record
from aiogate.server.admin.whole import of_all

__all__ = ["ROUTES"]


def plugins_of(gateway: Running) -> list[dict[str, Any]]:
    """Return the plugins in the order in which they run."""
    pipeline = gateway.generation.pipeline
    found = []
    for name, plugin in pipeline.plugins.items():
        kind = type(plugin)
        errors = {hook: count for (owner, hook), count in pipeline.times.errors.items() if owner == name}
        hooks = []
        for hook in hooks_of(kind, name=name):
            spent = pipeline.times.spent.get((name, hook))
            calls, seconds = (0, 0.0) if spent is None else (spent.calls, spent.seconds)
            hooks.append({"hook": hook, "timed_calls": calls, "timed_seconds": seconds})
        found.append(
            {
                "name": name,
                "class": f"{kind.__module__}:{kind.__qualname__}",
                "enforces": sorted(getattr(kind, "enforces", ())),
                "hooks": hooks,
                "errors": errors,
            }
        )
    return found


def merge(views: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the plugins with the times and failures of all workers."""
    whole = {plugin["name"]: plugin for plugin in views[0]}
    for plugin in (plugin for view in views[1:] for plugin in view if plugin["name"] in whole):
        known = whole[plugin["name"]]
        for mine, other in zip(known["hooks"], plugin["hooks"], strict=False):
            mine["timed_calls"] += other["timed_calls"]
            mine["timed_seconds"] += other["timed_seconds"]
        for hook, count in plugin["errors"].items():
            known["errors"][hook] = known["errors"].get(hook, 0) + count
    return list(whole.values())


async def _plugins(request: web.Request) -> web.Response:
    return json(await of_all(request, plugins_of(gateway_of(request)), merge))


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/plugins",
        handler=_plugins,
        summary="The plugins in force, in their order, with what a sample of their calls took.",
        answer=array(
            record(
                {
                    "name": TEXT,
                    "class": TEXT,
                    "enforces": array(TEXT),
                    "hooks": array(record({"hook": TEXT, "timed_calls": COUNT, "timed_seconds": NUMBER})),
                    "errors": {"type": "object", "additionalProperties": COUNT},
                }
            )
        ),
    ),
)
