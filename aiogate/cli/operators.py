"""Asks the admin listener of a gateway that runs; for the commands of operators.

Finds the listener in the config, of which nothing else has to be in order.
"""

import http.client
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from aiogate.errors import AiogateError
from aiogate.settings.interpolate import interpolate
from aiogate.settings.model import Address, AdminSettings
from aiogate.settings.read import read_tables, read_text
from aiogate.settings.structure import Structurer

__all__ = ["admin_of", "ask"]

_SECONDS = 120


def admin_of(config: Path) -> str:
    """Return ``host:port`` of the admin listener that a config names; raises ``AiogateError``."""
    tables = interpolate(read_tables(config, read_text(config)), os.environ, config.absolute().parent, lambda _: None)
    section = tables.get("admin")
    listen = section.get("listen") if isinstance(section, dict) else None
    found = AdminSettings().listen
    if listen is not None:
        found = Structurer(config.parent).structure(listen, Address, "admin.listen", lambda _: None) or Address("", 0)
    if not found.port:
        msg = f"{config} does not say on which port operators are served; name it: --admin 127.0.0.1:9090"
        raise AiogateError(msg)
    return str(found)


def ask(admin: str, method: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
    """Return status and answer of the admin listener, ``host:port`` or its URL; raises ``AiogateError``."""
    address = urlsplit(admin if "//" in admin else f"//{admin}").netloc
    connection = http.client.HTTPConnection(address, timeout=_SECONDS)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        said = orjson.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        msg = f"no gateway answers at {address}: {error}"
        raise AiogateError(msg) from error
    finally:
        connection.close()
    if not isinstance(said, dict):
        msg = f"{address} is no gateway's admin listener"
        raise AiogateError(msg)
    return answer.status, said
