"""Who is written down as the one who ran a command."""

import pytest

from aiogate.cli.actor import current_actor


def test_a_user_without_a_name_is_known_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number of its platform's choice."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 987_654_321)
    assert current_actor() == "uid 987654321"
