"""One connection to Redis, and what runs on it: one script call at a time, or a channel. Knows nothing of counters.

redis-py connects, speaks TLS and authenticates; of its client, with pools, retries and health checks, nothing is needed
here, and it would cost more than the script does.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from aiogate.errors import StateError
from aiogate.state.redis.places import Node, Place, connection_to

__all__ = ["DeniedError", "Link", "ScriptError"]

_Call = tuple[str | int | bytes, ...]
_TIMES_MOVED: Final = 5
_MOVING_SECONDS: Final = 0.005


class DeniedError(StateError):
    """Redis does not let this user in, or not do what it has to: waiting does not help."""


class ScriptError(StateError):
    """Redis refused a script call for what is in it: sending it again does not help."""


class Link:
    """A connection that is made when it is needed, and anew after anything went wrong on it.

    In a cluster it follows its slot: to the node that has it now (``MOVED``), for a single call to the one that is
    getting it (``ASK``), and it waits while its keys are in part on one and in part on the other (``TRYAGAIN``). None
    of these has run the script.
    """

    def __init__(self, place: Place, script: str) -> None:
        """Keep where to connect."""
        self._place = place
        self._script = script
        self._sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._connection: Any = None

    async def connect(self) -> None:
        """Connect, unless there is a connection; raises ``StateError``."""
        if self._connection is None:
            try:
                self._connection = await self._connected(await self._place.find())
            except (RedisError, OSError) as error:
                self._place.moved(None)
                raise _said(error) from error
            except BaseException:
                self._place.moved(None)
                raise

    async def run(self, keys: Sequence[str], *arguments: bytes) -> Any:  # noqa: ANN401 - what the script returns
        """Run the script; raises ``StateError``, and nobody knows then whether it ran."""
        call: _Call = ("EVALSHA", self._sha, len(keys), *keys, *arguments)
        moved = 0
        while True:
            await self.connect()
            try:
                return await self._evaluate(self._connection, call)
            except TryAgainError:
                await self._pause()
            except MovedError as error:
                moved += 1
                node = self._node(error)
                await self._drop()
                self._place.moved(node if moved < _TIMES_MOVED else None)
                if moved > _TIMES_MOVED:
                    raise _said(error) from error
            except AskError as error:
                try:
                    return await self._ask(self._node(error), call)
                except (TryAgainError, AskError):
                    await self._pause()
            except (RedisError, OSError) as error:
                await self.close()
                raise _said(error) from error
            except BaseException:
                await self.close()  # its answer may still come, and would be taken for the next one's
                raise

    async def subscribe(self, channel: str) -> None:
        """Begin to hear a channel; this connection is for nothing else then. Raises ``StateError``."""
        await self.connect()
        await self._said_by_redis(_command(self._connection, "SUBSCRIBE", channel))

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

    async def close(self) -> None:
        """Drop the connection."""
        self._place.moved(None)
        await self._drop()

    async def _connected(self, node: Node) -> Any:  # noqa: ANN401 - a connection of redis-py's
        connection = connection_to(self._place.address, node)
        try:
            await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def _evaluate(self, connection: Any, call: _Call, *before: str) -> Any:  # noqa: ANN401 - what the script returns
        try:
            return await _command(connection, *call, before=before)
        except NoScriptError:
            await _command(connection, "SCRIPT", "LOAD", self._script)
            return await _command(connection, *call, before=before)

    async def _ask(self, node: Node, call: _Call) -> Any:  # noqa: ANN401 - what the script returns
        """Run a call on the node that is getting the slot; it is not there yet, so nothing else goes there."""
        connection = None
        try:
            connection = await self._connected(node)
            return await self._evaluate(connection, call, "ASKING")
        except (TryAgainError, AskError):
            raise
        except (RedisError, OSError) as error:
            raise _said(error) from error
        finally:
            if connection is not None:
                await connection.disconnect(nowait=True)

    async def _pause(self) -> None:
        """Let some keys move; what waits for this has a deadline."""
        try:
            await asyncio.sleep(_MOVING_SECONDS)
        except asyncio.CancelledError:
            await self.close()
            raise

    def _node(self, error: AskError) -> Node:
        return error.host or self._connection.host, error.port

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


async def _command(connection: Any, *arguments: str | int | bytes, before: Sequence[str] = ()) -> Any:  # noqa: ANN401 - what Redis says
    for command in before:
        await connection.send_command(command)
        await connection.read_response()
    await connection.send_command(*arguments)
    return await connection.read_response()


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
