"""The gateway, as the handlers of the admin listener see it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

from aiohttp import web

from aiogate.server.admin.route import Route
from aiogate.server.generation import Generation
from aiogate.server.house import House
from aiogate.server.reload import Reloads
from aiogate.server.together import Together

__all__ = ["ALL_ROUTES", "GATEWAY", "Running", "Tells", "gateway_of"]


@runtime_checkable
class Tells(Protocol):
    """What reads the config, if it has something to say of where that comes from."""

    @property
    def told(self) -> Mapping[str, Any]:
        """What there is to say."""
        ...


class Running(Protocol):
    """The gateway, as operators see it."""

    house: House
    generation: Generation
    reloads: Reloads
    together: Together

    @property
    def load(self) -> object:
        """What reads its config."""
        ...

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        ...

    def ready(self) -> Mapping[str, bool]:
        """Return what has to be in order for new exchanges, by name."""
        ...


ALL_ROUTES: Final[web.AppKey[Iterable[Route]]] = web.AppKey("routes")
GATEWAY: Final = web.AppKey("gateway", Running)


def gateway_of(request: web.Request) -> Running:
    """Return the gateway that a request of its admin listener is about."""
    return request.app[GATEWAY]
