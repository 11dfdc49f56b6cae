"""Hosts that are network namespaces of this machine, each with a loopback of its own, on one switch between them.

The machine's own network is not touched: the switch is a namespace, too. A host is cut off by taking its port on the
switch down: packets get lost, and nobody is told. Linux, root and ip(8) are needed. Namespaces bear the number of the
process that made them; those of one that was killed are taken away by the next one. What runs in them ends with it.
"""

import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import attrs

__all__ = ["Host", "Network", "network", "why_not"]

_MARK = "aiogate-test-"
_CLONE_NEWNET = 0x40000000


def ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, timeout=10)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def why_not() -> str | None:
    """Return why there can be no namespaces here; None: there can be."""
    missing = [name for name in ("ip", "setpriv") if shutil.which(name) is None]
    if missing:
        return f"{missing[0]} is not installed"
    if os.geteuid() != 0:
        return "this is not root"
    try:
        ip("netns", "add", f"{_MARK}{os.getpid()}-try")
        ip("netns", "del", f"{_MARK}{os.getpid()}-try")
    except OSError as error:
        return str(error)
    return None


@attrs.define
class Host:
    """One host. ``address`` is what the others reach it by."""

    namespace: str
    address: str
    port: str
    """Its port on the switch."""
    switch: str

    def command(self, *command: str) -> Sequence[str]:
        """Return a command as it is run on this host; it ends with whoever started it."""
        return ["ip", "netns", "exec", self.namespace, "setpriv", "--pdeathsig", "KILL", *command]

    def connecting(self, *address: Any) -> socket.socket:
        """Return a socket of this host's, of whatever family an ``addrinfo`` of aiohttp's says."""
        family, kind, protocol = (*address[0][:3],) if address else (socket.AF_INET, socket.SOCK_STREAM, 0)
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/proc/self/ns/net").open("rb") as here, Path(f"/run/netns/{self.namespace}").open("rb") as there:
            for namespace in (there, here):
                assert libc.setns(namespace.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
                if namespace is there:
                    made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    def listener(self, port: int) -> socket.socket:
        """Return a socket that listens on this host's loopback."""
        made = self.connecting()
        made.bind(("127.0.0.1", port))
        made.listen(512)
        return made

    def cut_off(self) -> None:
        ip("-n", self.switch, "link", "set", self.port, "down")

    def heal(self) -> None:
        ip("-n", self.switch, "link", "set", self.port, "up")


@attrs.define
class Network:
    hosts: list[Host]
    _running: "list[subprocess.Popen[bytes]]" = attrs.field(factory=list)

    def run(self, host: Host, *command: str, log: Path) -> "subprocess.Popen[bytes]":
        with log.open("ab") as said:
            process = subprocess.Popen(host.command(*command), stdout=said, stderr=said)
        self._running.append(process)
        return process

    def end(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


@contextmanager
def network(number: int) -> Iterator[Network]:
    """Make so many hosts on one switch."""
    sweep()
    mark = f"{_MARK}{os.getpid()}"
    with ExitStack() as stack:

        def namespace(name: str) -> str:
            stack.callback(remove, f"{mark}-{name}")
            ip("netns", "add", f"{mark}-{name}")
            ip("-n", f"{mark}-{name}", "link", "set", "lo", "up")
            return f"{mark}-{name}"

        switch = namespace("switch")
        ip("-n", switch, "link", "add", "br0", "type", "bridge")
        ip("-n", switch, "link", "set", "br0", "up")
        hosts = []
        for index in range(number):
            host = Host(namespace(f"host{index}"), f"10.77.0.{index + 1}", f"port{index}", switch)
            ip("-n", switch, "link", "add", host.port, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
            ip("-n", switch, "link", "set", host.port, "master", "br0", "up")
            ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
            ip("-n", host.namespace, "link", "set", "eth0", "up")
            hosts.append(host)
        made = Network(hosts)
        stack.callback(made.end)
        yield made


def sweep() -> None:
    """Take away what tests have left that were killed."""
    for line in ip("netns", "list").splitlines():
        name = line.split()[0]
        owner = name.removeprefix(_MARK).partition("-")[0]
        if name.startswith(_MARK) and not Path(f"/proc/{owner}").exists():
            remove(name)


def remove(namespace: str) -> None:
    if Path(f"/run/netns/{namespace}").exists():
        ip("netns", "del", namespace)
