"""One connection to Redis, and what runs on it: one script call at a time, or a channel. Knows nothing of counters.

redis-py parses the URL, connects, speaks TLS and authenticates; of its client, with pools, retries and health checks,
nothing is needed here, and it would cost more than the script does.
"""

import hashlib
from collections.abc import Awaitable, Sequence
from typing import Any

from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    NoPermissionError,
    NoScriptError,
    RedisError,
    ResponseError,
)

from aiogate.errors import StateError

__all__ = ["DeniedError", "Link", "ScriptError"]


class DeniedError(StateError):
    """Redis does not let this user in, or not do what it has to: waiting does not help."""


class ScriptError(StateError):
    """Redis refused a script call for what is in it: sending it again does not help."""


class Link:
    """A connection that is made when it is needed, and anew after anything went wrong on it."""

    def __init__(self, url: str, script: str) -> None:
        """Keep where to connect; raises ``ValueError`` for a URL that redis-py cannot read."""
        self._script = script
        self._sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._options: dict[str, Any] = dict(parse_url(url))
        self._kind: type[Any] = self._options.pop("connection_class", Connection)
        self._options |= {
            "protocol": 2,
            "socket_timeout": None,  # a batch has one deadline, and it is not the socket's
            "socket_connect_timeout": None,
            "retry": Retry(NoBackoff(), 0),
            "driver_info": None,  # a command that users with few rights may not give
        }
        self._connection: Any = None

    async def connect(self) -> None:
        """Connect, unless there is a connection; raises ``StateError``."""
        if self._connection is None:
            connection = self._kind(**self._options)
            try:
                await connection.connect()
            except (RedisError, OSError) as error:
                await connection.disconnect(nowait=True)
                raise _said(error) from error
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            self._connection = connection

    async def run(self, keys: Sequence[str], *arguments: bytes) -> Any:  # noqa: ANN401 - what the script returns
        """Run the script; raises ``StateError``, and nobody knows then whether it ran."""
        await self.connect()
        call: tuple[str | int | bytes, ...] = ("EVALSHA", self._sha, len(keys), *keys, *arguments)
        try:
            try:
                return await self._command(*call)
            except NoScriptError:
                await self._command("SCRIPT", "LOAD", self._script)
                return await self._command(*call)
        except (RedisError, OSError) as error:
            await self.close()
            raise _said(error) from error
        except BaseException:
            await self.close()  # its answer may still come, and would be taken for the next one's
            raise

    async def subscribe(self, channel: str) -> None:
        """Begin to hear a channel; this connection is for nothing else then. Raises ``StateError``."""
        await self.connect()
        await self._said_by_redis(self._command("SUBSCRIBE", channel))

    async def heard(self) -> bytes:
        """Return the next message, however long that takes; raises ``StateError``."""
        message: bytes = (await self._said_by_redis(self._connection.read_response()))[2]
        return message

    async def _said_by_redis(self, answer: Awaitable[Any]) -> Any:  # noqa: ANN401 - what Redis says
        try:
            return await answer
        except (RedisError, OSError) as error:
            await self.close()
            raise _said(error) from error
        except BaseException:
            await self.close()
            raise

    async def _command(self, *arguments: str | int | bytes) -> Any:  # noqa: ANN401 - what Redis says
        await self._connection.send_command(*arguments)
        return await self._connection.read_response()

    async def close(self) -> None:
        """Drop the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


def _said(error: Exception) -> StateError:
    """Return what Redis said, in a sentence without the URL, as that may hold a password."""
    text = str(error).strip().partition("\n")[0][:200] or type(error).__name__
    if isinstance(
        error, (AuthenticationError, AuthorizationError, AuthenticationWrongNumberOfArgsError, NoPermissionError)
    ):
        return DeniedError(f"Redis refuses this user: {text}")
    kind = type(error)
    if kind is ResponseError and text.startswith(("WRONGTYPE", "Error running script", "ERR ", "user_script", "wrong")):
        return ScriptError(f"Redis refused what was asked: {text}")
    return StateError(f"Redis: {text}")
