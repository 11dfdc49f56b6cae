"""The policies in force and how often each has refused somebody, or would have."""

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from aiogate.server.admin.answers import json
from aiogate.server.admin.route import Route
from aiogate.server.admin.running import Running, gateway_of
from aiogate.server.admin.schemas import COUNT, FLAG, TEXT, array, record
from aiogate.server.admin.whole import of_all

__all__ = ["ROUTES"]


def policies_of(gateway: Running) -> list[dict[str, Any]]:
    """Return what the plugins say of their rules: ``policies()`` of those that have it, with counts of hits."""
    refused, shadows = gateway.house.metrics.hits()
    found = []
    for plugin in gateway.generation.pipeline.plugins.values():
        if (policies := getattr(plugin, "policies", None)) is None:
            continue
        for rule in policies():
            name = rule["name"]
            found.append({**rule, "refused": refused.get(name, 0), "would_have_refused": shadows.get(name, 0)})
    return found


def merge(views: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the rules with the hits of all workers."""
    whole = {rule["name"]: dict(rule) for rule in views[0]}
    for rule in (rule for view in views[1:] for rule in view):
        for name in ("refused", "would_have_refused"):
            if rule["name"] in whole:
                whole[rule["name"]][name] += rule[name]
    return list(whole.values())


async def _policies(request: web.Request) -> web.Response:
    return json(await of_all(request, policies_of(gateway_of(request)), merge))


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/policies",
        handler=_policies,
        summary="The rules in force, in their order, with how often each was hit since the start.",
        answer=array(
            record(
                {
                    "name": TEXT,
                    "deny": TEXT,
                    "agents": array(TEXT),
                    "enforced": FLAG,
                    "message": {"type": ["string", "null"]},
                    "refused": COUNT,
                    "would_have_refused": COUNT,
                }
            )
        ),
    ),
)
