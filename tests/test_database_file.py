"""The file of a database is its user's alone, and who opens it once more takes nobody's locks away."""

import os
import stat
from pathlib import Path

from aiogate.database_file import make_private
from aiogate.journal.totals_file import TOTALS_FILE, connect


def locks_on(path: Path) -> list[str]:
    """Return what the kernel knows of locks on a file (proc_locks(5))."""
    inode = f":{path.stat().st_ino} "
    lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return [line.partition(": ")[2] for line in lines if inode in line and f" {os.getpid()} " in line]


def test_it_is_made_once_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "data.sqlite"
    make_private(path)
    path.write_bytes(b"kept")
    make_private(path)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"kept", 0o600)


def test_the_locks_of_a_connection_stay_when_another_one_comes_and_goes(tmp_path: Path) -> None:
    first = connect(tmp_path)
    held = locks_on(tmp_path / TOTALS_FILE)
    assert held
    second = connect(tmp_path)
    assert locks_on(tmp_path / TOTALS_FILE) == held
    second.close()
    assert locks_on(tmp_path / TOTALS_FILE) == held
    first.close()
