"""The pepper: the secret that digests of stored keys are made with, so that a copy of the store lets nobody in.

For plugins that know keys and for whoever makes some. Knows nothing of keys.
"""

import hmac
import os
import secrets
from pathlib import Path
from typing import Final

import attrs

from aiogate.agent import Secret
from aiogate.errors import AiogateError

__all__ = ["Pepper"]

_BYTES: Final = 32
_MODE: Final = 0o600
_LONGEST: Final = 4096
_ID_DIGITS: Final = 8


@attrs.define(eq=False)
class Pepper:
    """Where the pepper is: in the config (``given``), or else in a file, which is made when the first key is.

    ``known`` is what it was when it was read last.

    It is as good as no secret once it is lost: keys cannot be told from others without the one that they were made
    with. Keep a copy of it where other secrets are kept, and give all gateways that share a store the same.
    """

    given: Secret | None
    file: Path
    known: bytes | None = attrs.field(default=None, init=False, repr=False)

    def read(self) -> bytes | None:
        """Return the pepper, None while there is none; raises ``AiogateError`` for a file that holds none."""
        self.known = self.given.reveal().encode() if self.given is not None else self._from_file()
        return self.known

    def _from_file(self) -> bytes | None:
        try:
            with self.file.open("rb") as file:
                text = file.read(_LONGEST).strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            msg = f"the pepper cannot be read from {self.file}: {error.strerror or error}"
            raise AiogateError(msg) from error
        if not text:
            msg = f"{self.file} is empty; it should hold the pepper that keys are recognised with: put it back"
            raise AiogateError(msg)
        return text

    def make(self) -> bytes:
        """Return the pepper, made anew in its file if there is none: 256 random bits, for its owner's eyes alone."""
        if self.read() is not None:
            return self.known or b""
        text = secrets.token_hex(_BYTES).encode()
        draft = self.file.with_name(f".{self.file.name}.{secrets.token_hex(4)}")
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text + b"\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, self.file)  # whole or not at all, and never over one that was made meanwhile
            except FileExistsError:
                return self.read() or text
            finally:
                draft.unlink()
        except OSError as error:
            msg = f"the pepper cannot be written to {self.file}: {error.strerror or error}"
            raise AiogateError(msg) from error
        self.known = text
        return text

    @property
    def place(self) -> str:
        """Where it comes from, for people."""
        return "the config" if self.given is not None else str(self.file)

    @staticmethod
    def id_of(pepper: bytes) -> str:
        """Return what tells a pepper from another one, and nothing more of it."""
        return hmac.digest(pepper, b"aiogate: which pepper is this", "sha256").hex()[:_ID_DIGITS]
