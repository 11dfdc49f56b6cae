"""``[server] workers``: how many there may be, and where one Redis is what they need."""

import os
from pathlib import Path

import pytest

from aiogate.agent import Secret
from aiogate.settings.workers import as_many_as_fit
from tests.settings.conftest import IN_ORDER, Load, Refuse

REDIS = '[state]\nurl = "redis://cache"\n'


def with_workers(workers: str, more: str = "") -> str:
    return f"{IN_ORDER}[server]\nworkers = {workers}\n{more}"


def test_there_is_one_worker_unless_the_config_says_more(load: Load) -> None:
    assert load(IN_ORDER).server.workers == 1
    assert load(with_workers("4", REDIS)).server.workers == 4


def test_more_than_one_in_memory_is_refused_with_the_reason(problems: Refuse) -> None:
    [problem] = problems(with_workers("4"))
    assert problem.startswith("server.workers: 4 workers with [state] url = 'memory://' would each count on its own")
    assert "up to 4 times as much; give them a Redis" in problem


def test_auto_is_one_for_each_processor_and_one_alone_in_memory(load: Load) -> None:
    assert load(with_workers('"auto"')).server.workers == 1
    assert 1 <= load(with_workers('"auto"', REDIS)).server.workers <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize("quota, most", [("50000 100000", 1), ("max 100000", None)])
def test_auto_keeps_to_the_share_that_a_container_has(tmp_path: Path, quota: str, most: int | None) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    found = as_many_as_fit(Secret("redis://cache"), tmp_path / "cpu.max")
    assert found == (most or len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("workers", ["0", "-1", "257", "2.0", '"many"', "true"])
def test_what_is_no_number_of_processes_is_refused(problems: Refuse, workers: str) -> None:
    [problem] = problems(with_workers(workers, REDIS))
    assert problem.startswith("server.workers: expected a number of processes from 1 to 256, or 'auto'")
