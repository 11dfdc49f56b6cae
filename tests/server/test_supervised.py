"""What a supervisor hears of the gateway, and the sockets that it hands over."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from aiogate.errors import AiogateError
from aiogate.server.inherited import Inherited
from aiogate.server.notify import Notifier
from aiogate.testing import fake_agent, running_gateway
from tests.configs import anonymous


@attrs.define
class Supervisor:
    """Listens on a socket of its own."""

    address: str
    line: socket.socket

    def heard(self) -> list[dict[str, str]]:
        said = []
        while True:
            try:
                text = self.line.recv(4096).decode()
            except BlockingIOError:
                return said
            said.append(dict(one.split("=", 1) for one in text.split("\n")))


@pytest.fixture(params=["in a folder", "abstract"])
def supervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Supervisor]:
    address = f"@aiogate-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.setblocking(False)
        line.bind(address.replace("@", "\0"))
        yield Supervisor(address, line)


def test_it_hears_every_state(supervisor: Supervisor) -> None:
    environ = {"NOTIFY_SOCKET": supervisor.address, "PATH": "x"}
    notifier = Notifier.of(environ)
    assert environ == {"PATH": "x"}
    notifier.ready("serving")
    notifier.reloading()
    notifier.stopping("draining")
    notifier.alive()
    ready, reloading, stopping, alive = supervisor.heard()
    assert ready == {"READY": "1", "STATUS": "serving"}
    assert (reloading["RELOADING"], reloading["MONOTONIC_USEC"].isdecimal()) == ("1", True)
    assert stopping == {"STOPPING": "1", "STATUS": "draining"}
    assert alive == {"WATCHDOG": "1"}


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative", "/nowhere/at/all"])
def test_where_nobody_listens_nothing_is_said(address: str, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier.of({"NOTIFY_SOCKET": address})
    notifier.ready("serving")
    notifier.alive()
    assert len(caplog.records) == (address == "/nowhere/at/all")


@pytest.mark.parametrize(
    "environ, seconds",
    [
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_where_it_is_ours(environ: dict[str, str], seconds: float | None) -> None:
    assert Notifier.of(environ).watchdog_seconds == seconds


async def test_a_reload_is_told_with_what_has_come_of_it(supervisor: Supervisor, tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        gateway.gateway.house.notifier = Notifier(supervisor.address)
        assert (await gateway.gateway.reloads.reload("api")).successful
        gateway.configure({"agents": {}, "server": {"nonsense": 1}})
        assert not (await gateway.gateway.reloads.reload("api")).successful
    said = supervisor.heard()
    assert [next(iter(one)) for one in said] == ["RELOADING", "READY"] * 2
    assert said[1]["STATUS"] == "serving, config 2"
    assert said[3]["STATUS"].startswith("serving, config 2; the last reload failed: ")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def handed(*sockets: socket.socket, names: str = "", monkeypatch: pytest.MonkeyPatch) -> Inherited:
    """Hand sockets over as a supervisor would, if not as numbers 3 and 4, which are pytest's."""
    first = os.dup(sockets[0].fileno())
    for number, one in enumerate(sockets[1:], 1):
        os.dup2(one.fileno(), first + number)
    monkeypatch.setattr("aiogate.server.inherited._FIRST", first)
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": names}
    try:
        return Inherited.of(environ)
    finally:
        assert environ == {}


def test_a_socket_that_is_handed_over_is_for_clients(listening: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    inherited = handed(listening, monkeypatch=monkeypatch)
    assert inherited.public is not None
    with inherited.public as public:
        assert public.getsockname() == listening.getsockname()
        assert not public.get_inheritable()
    assert inherited.admin is None


@pytest.mark.parametrize("names", ["clients:admin", "admin:clients"])
def test_the_one_named_admin_is_for_operators(
    names: str, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        inherited = handed(listening, other, names=names, monkeypatch=monkeypatch)
        by_name = dict(zip(names.split(":"), (listening, other), strict=True))
        for found, meant in ((inherited.public, "clients"), (inherited.admin, "admin")):
            assert found is not None
            with found:
                assert found.getsockname() == by_name[meant].getsockname()


def test_what_nobody_can_listen_on_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as idle, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "unix"))
        unix.listen()
        for wrong in (idle, unix):
            with pytest.raises(AiogateError, match="no listening TCP socket"):
                handed(wrong, monkeypatch=monkeypatch)
    monkeypatch.setattr("aiogate.server.inherited._FIRST", 99_999)
    with pytest.raises(AiogateError, match="99999 is handed over as a socket and is none"):
        Inherited.of({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})


@pytest.mark.parametrize("environ", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_FDS": "1"}])
def test_what_is_meant_for_another_process_is_left_alone(environ: dict[str, str]) -> None:
    assert Inherited.of(environ) == Inherited()
