"""All routes of the admin listener. A new subject: a file with its ``ROUTES``, and its name here."""

from typing import Final

from aiogate.server.admin import (
    agents,
    breaker,
    budgets,
    config,
    events,
    health,
    journal,
    keys,
    kills,
    limits,
    live,
    metrics,
    openapi,
    plugins,
    policies,
    reload,
    status,
    usage,
)
from aiogate.server.admin.route import Route

__all__ = ["ROUTES"]

ROUTES: Final[tuple[Route, ...]] = (
    *metrics.ROUTES,
    *health.ROUTES,
    *status.ROUTES,
    *budgets.ROUTES,
    *reload.ROUTES,
    *breaker.ROUTES,
    *keys.ROUTES,
    *kills.ROUTES,
    *limits.ROUTES,
    *live.ROUTES,
    *events.ROUTES,
    *agents.ROUTES,
    *usage.ROUTES,
    *policies.ROUTES,
    *plugins.ROUTES,
    *config.ROUTES,
    *journal.ROUTES,
    *openapi.ROUTES,
)
