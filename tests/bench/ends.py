"""The two ends of the bench, agent and load generator: in C where it can be compiled, else in Python.

Knows how they are built and started, not what is asked of them. A compiled program is kept in the user's cache
directory under the hash of its source and compiled again when that changes.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs

from tests.bench.answers import CHAT, EVENT_AFTER, EVENT_BEFORE, LONG, USAGE_EVENT

__all__ = ["PYTHON_ENDS", "Ends", "ends"]

_SOURCES = Path(__file__).with_name("native")
_FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra")
_LIBRARIES = ("-lm",)
_COMPILE_SECONDS = 60


@attrs.frozen(kw_only=True)
class Ends:
    """The commands of agent and load generator without their arguments; ``note`` says why they are the slow ones."""

    agent: Sequence[str]
    load: Sequence[str]
    note: str = ""

    @property
    def native(self) -> bool:
        """Tell whether they are the ones in C."""
        return not self.note

    def agent_command(self, port: int) -> Sequence[str]:
        """Return the command of an agent on a port; the one in C is told what to say."""
        said = (CHAT, LONG, EVENT_BEFORE, EVENT_AFTER, USAGE_EVENT) if self.native else ()
        return (*self.agent, str(port), *(text.decode() for text in said))


PYTHON_ENDS = Ends(
    agent=(sys.executable, "-m", "tests.bench.agent"),
    load=(sys.executable, "-m", "tests.bench.load_in_python"),
    note="agent and load generator are the slow ones, in Python, because they were asked for",
)


def ends() -> Ends:
    """Return the ends in C, compiled if need be, or those in Python with a note that says why."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return _slow("there is no C compiler (cc, gcc or clang; on Debian: apt-get install gcc libc6-dev)")
    try:
        return Ends(agent=(_compiled("agent", compiler),), load=(_compiled("load", compiler),))
    except subprocess.CalledProcessError as error:
        return _slow(f"{compiler} fails: {error.stderr.decode(errors='replace').strip()[:500]}")
    except (OSError, subprocess.TimeoutExpired) as error:
        return _slow(f"{compiler} fails: {error}")


def _slow(why: str) -> Ends:
    note = f"agent and load generator are the slow ones, in Python, and limit what is measured: {why}"
    return attrs.evolve(PYTHON_ENDS, note=note)


def _compiled(name: str, compiler: str) -> str:
    source = _SOURCES / f"{name}.c"
    seen = hashlib.sha256(source.read_bytes() + (_SOURCES / "wire.h").read_bytes())
    seen.update(" ".join((compiler, *_FLAGS, *_LIBRARIES)).encode())
    program = _cache() / f"{name}-{seen.hexdigest()[:16]}"
    if not program.exists():
        fresh = program.with_suffix(f".{os.getpid()}")
        command = (compiler, *_FLAGS, "-o", str(fresh), str(source), *_LIBRARIES)
        subprocess.run(command, check=True, capture_output=True, timeout=_COMPILE_SECONDS)
        fresh.replace(program)
    return str(program)


def _cache() -> Path:
    """Return a directory of ours to keep programs in; one under the temporary directory where home is read-only."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    with contextlib.suppress(OSError, RuntimeError):
        wanted = Path(home).expanduser() / "aiogate-bench"
        wanted.mkdir(parents=True, exist_ok=True)
        if os.access(wanted, os.W_OK):
            return wanted
    # of this process alone: a program found under a name that anybody may take is not to be started
    return Path(tempfile.mkdtemp(prefix="aiogate-bench-"))
