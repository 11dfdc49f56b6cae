"""The pepper: the config's, or one in a file that is made once, for its owner alone."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aiogate import AiogateError, Pepper, Secret


def test_the_configs_pepper_goes_before_any_file(tmp_path: Path) -> None:
    pepper = Pepper(Secret("salt"), tmp_path / "pepper")
    assert pepper.read() == pepper.make() == b"salt"
    assert pepper.place == "the config"
    assert not (tmp_path / "pepper").exists()


def test_one_is_made_when_it_is_needed_and_is_the_same_ever_after(tmp_path: Path) -> None:
    file = tmp_path / "var" / "pepper"
    pepper = Pepper(None, file)
    assert pepper.read() is None
    made = pepper.make()
    assert made == pepper.make() == pepper.read() == file.read_bytes().strip()
    assert len(made) == 64
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]
    assert pepper.place == str(file)


def test_of_several_who_make_it_at_once_all_have_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: Pepper(None, tmp_path / "pepper").make(), range(64)))
    assert len(set(made)) == 1


def test_a_file_without_one_is_an_error_that_says_where(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_text("\n")
    for act in (Pepper(None, tmp_path / "pepper").read, Pepper(None, tmp_path / "pepper").make):
        with pytest.raises(AiogateError, match="pepper is empty"):
            act()
    with pytest.raises(AiogateError, match=r"cannot be read from .*: Is a directory"):
        Pepper(None, tmp_path).read()
    with pytest.raises(AiogateError, match="cannot be"):
        Pepper(None, tmp_path / "pepper" / "below").make()


def test_its_id_tells_it_from_others_and_is_not_made_of_its_letters() -> None:
    ids = {Pepper.id_of(text) for text in (b"salt", b"salu", b"")}
    assert len(ids) == 3
    assert all(len(one) == 8 for one in ids)
