"""Asks the admin listener of a gateway that runs; for the commands of operators.

Where it listens is said by ``--url`` or ``AIOGATE_ADMIN_URL``, or else found in the config, of which nothing else has
to be in order. Who asks proves it by a token out of ``AIOGATE_ADMIN_TOKEN`` or a file; it is never on a command line,
where everybody on the machine could read it.
"""

import http.client
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import orjson

from aiogate.agent import Secret
from aiogate.errors import AiogateError
from aiogate.settings.interpolate import interpolate
from aiogate.settings.model import Address, AdminSettings
from aiogate.settings.read import read_tables, read_text
from aiogate.settings.structure import Structurer

__all__ = ["admin_of", "admin_options", "answer_of", "ask", "bearer", "url_of"]

_SECONDS: Final = 120
_OK: Final = 200
_UNAUTHENTICATED: Final = 401
_VARIABLE: Final = "AIOGATE_ADMIN_TOKEN"
_FILE: Final = "aiogate.admin_file"


def admin_options(
    command: Callable[..., Any], config_is: str = "The config that says where the gateway listens for operators."
) -> Callable[..., Any]:
    """Give a command ``--config``, ``--url`` and ``--token-file``; it gets ``config`` and ``admin``."""
    config = click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="AIOGATE_CONFIG",
        default=Path("conf/gateway.toml"),
        help=config_is,
    )
    url = click.option(
        "--url",
        "--admin",
        "admin",
        metavar="URL",
        envvar="AIOGATE_ADMIN_URL",
        help="Of the admin listener, in the place of a config: http://127.0.0.1:9090.",
    )
    token = click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        envvar=f"{_VARIABLE}_FILE",
        expose_value=False,
        callback=_keep,
        help=f"What proves who asks, unless {_VARIABLE} holds it.",
    )
    return config(url(token(command)))


def _keep(ctx: click.Context, _option: click.Parameter, file: Path | None) -> Path | None:
    ctx.meta[_FILE] = file
    return file


def admin_of(config: Path) -> str:
    """Return ``host:port`` of the admin listener that a config names; raises ``AiogateError``."""
    tables = interpolate(read_tables(config, read_text(config)), os.environ, config.absolute().parent, lambda _: None)
    section = tables.get("admin")
    listen = section.get("listen") if isinstance(section, dict) else None
    found = AdminSettings().listen
    if listen is not None:
        found = Structurer(config.parent).structure(listen, Address, "admin.listen", lambda _: None) or Address("", 0)
    if not found.port:
        msg = f"{config} does not say on which port operators are served; name it: --url http://127.0.0.1:9090"
        raise AiogateError(msg)
    return str(found)


def url_of(config: Path, admin: str | None) -> str:
    """Return the URL of the admin listener without a slash behind it; raises ``AiogateError``."""
    said = admin or admin_of(config)
    parts = urlsplit(said if "//" in said else f"http://{said}")
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.username or parts.query or parts.fragment:
        msg = f"--url: expected http://127.0.0.1:9090, got {said!r}"
        raise AiogateError(msg)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def bearer() -> dict[str, str]:
    """Return the header that proves who asks, or nothing where there is no token; raises ``AiogateError``."""
    token = _token()
    return {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}


def _token() -> Secret | None:
    context = click.get_current_context(silent=True)
    file = None if context is None else context.meta.get(_FILE)
    if file is not None:
        return _out_of(file)
    said = os.environ.get(_VARIABLE)
    return Secret(said.strip()) if said and said.strip() else None


def _out_of(file: Path) -> Secret:
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"--token-file: {file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}"
        raise AiogateError(msg) from error
    if not text or not text.isascii() or not text.isprintable():
        msg = f"--token-file: {file} holds no token"
        raise AiogateError(msg)
    return Secret(text)


def ask(
    admin: str, method: str, path: str, said: object = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    """Return status and answer of the admin listener, ``host:port`` or its URL; raises ``AiogateError``.

    ``said`` goes with the request as JSON; ``headers`` stand in the place of the token's, in a thread that knows none.
    """
    parts = urlsplit(admin if "//" in admin else f"//{admin}")
    connects = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    sent = dict(bearer() if headers is None else headers)
    body = None
    if said is not None:
        sent["Content-Type"], body = "application/json", orjson.dumps(said)
    connection = connects(parts.netloc, timeout=_SECONDS)
    try:
        connection.request(method, f"{parts.path.rstrip('/')}{path}", body, sent)
        answer = connection.getresponse()
        found = orjson.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        msg = f"no gateway answers at {parts.netloc}: {error}"
        raise AiogateError(msg) from error
    finally:
        connection.close()
    if not isinstance(found, dict | list):
        msg = f"{parts.netloc} is no gateway's admin listener"
        raise AiogateError(msg)
    if answer.status == _UNAUTHENTICATED:
        msg = f"{parts.netloc} does not know who asks: put its token into {_VARIABLE}, or name its --token-file"
        raise AiogateError(msg)
    return answer.status, found


def answer_of(
    url: str, path: str, method: str = "GET", said: object = None, headers: Mapping[str, str] | None = None
) -> Any:  # noqa: ANN401 - JSON
    """Return what the admin listener says to a request that goes well; raises ``AiogateError`` with its reason."""
    status, found = ask(url, method, path, said, headers)
    if status != _OK:
        detail = found.get("detail") if isinstance(found, dict) else None
        raise AiogateError(str(detail or f"the gateway answers {status}"))
    return found
