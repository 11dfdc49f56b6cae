"""What gateways that were killed have left is cleared away by the next one, and nothing else is."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from aiogate.server import folder

HOLDER = """
import os, sys
from pathlib import Path
from aiogate.server.folder import hold
hold(Path(sys.argv[1]))
if os.fork() == 0:
    print("held", flush=True)
    sys.stdin.read()
    os._exit(0)
os.kill(os.getpid(), 9)
"""
"""A supervisor that is killed, and a worker of its that lives until it is told to go."""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return lambda: Path(tempfile.mkdtemp(prefix="aiogate-"))


def test_a_folder_stays_while_its_supervisor_or_a_worker_lives(made: Callable[[], Path]) -> None:
    left, own = made(), made()
    descriptor = folder.hold(own)
    (left / "1.sock").touch()
    with Popen([sys.executable, "-c", HOLDER, str(left)], stdin=PIPE, stdout=PIPE) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"held\n"
        assert supervisor.wait() == -9
        folder.clear_away()
        assert (left / "1.sock").exists()
        assert own.exists()
        assert supervisor.stdin is not None
        supervisor.stdin.close()
        assert supervisor.stdout.read() == b""  # the worker has gone
    folder.clear_away()
    assert not left.exists()
    assert own.exists()
    os.close(descriptor)


def test_what_nobody_ever_held_or_a_link_leads_to_is_left_alone(made: Callable[[], Path], tmp_path: Path) -> None:
    unheld, target = made(), tmp_path / "elsewhere"
    target.mkdir()
    os.close(folder.hold(target))
    link = tmp_path / "aiogate-link"
    link.symlink_to(target)
    folder.clear_away()
    assert unheld.exists()
    assert link.exists()
    assert target.exists()


def test_what_is_somebody_elses_is_left_alone(made: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = made()
    os.close(folder.hold(theirs))
    monkeypatch.setattr(os, "geteuid", lambda: theirs.stat().st_uid + 1)
    folder.clear_away()
    assert theirs.exists()
    monkeypatch.undo()


FOLLOWER = """
import os
from aiogate.server.pushed import Followed
from aiogate.settings.origin import Origin
from pathlib import Path
Followed(Origin(folder=Path(), state_url="redis://localhost", prefix="aiogate"), {})
os.kill(os.getpid(), 9)
"""


def test_where_a_config_out_of_a_store_lay_is_cleared_away_by_the_next_one(tmp_path: Path) -> None:
    def killed() -> list[Path]:
        with Popen([sys.executable, "-c", FOLLOWER], env={**os.environ, "TMPDIR": str(tmp_path)}) as follower:
            assert follower.wait() == -9
        return list(tmp_path.glob("aiogate-config-*"))

    [first] = killed()
    [second] = killed()
    assert first != second
