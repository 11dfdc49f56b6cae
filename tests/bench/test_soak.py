"""The soak at a small scale: it runs, and it can fail. ``AIOGATE_SOAK_SECONDS=600`` makes it what it is meant to be."""

import os
import re
import subprocess
import sys
from collections import Counter

from tests.bench.soak.__main__ import _fitted, _left, _slope

SECONDS = float(os.environ.get("AIOGATE_SOAK_SECONDS", "3"))
SCALE = ["--streams", "500", "--rate", "300"] if SECONDS >= 60 else ["--streams", "20", "--rate", "40"]


def test_nothing_is_left_of_streams_calls_faults_and_hang_ups() -> None:
    command = [sys.executable, "-m", "tests.bench.soak", "--seconds", str(SECONDS), *SCALE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    exchanges, records = re.findall(r"([\d,]+)  exchanges, ([\d,]+) records", done.stdout)[0]
    assert exchanges == records != "0"


def test_memory_that_grows_is_seen_and_memory_that_varies_is_not() -> None:
    flat = [(float(second), 100_000 + 500 * (second % 3)) for second in range(600)]
    growing = [(second, rss + int(second * 10)) for second, rss in flat]
    warming = [(second, rss - (20_000 if second < 100 else 0)) for second, rss in flat]
    assert list(_slope(flat, 600)) == list(_slope(warming, 600)) == []
    assert list(_slope(growing, 600)) != []
    assert abs(_fitted(flat, 600)[0]) < 100


def test_what_is_left_is_named() -> None:
    before = Counter({"aiogate_tasks": 5})
    after = Counter({"aiogate_tasks": 6, "aiogate_open_grants": 1})
    assert [*_left(before, after)] == ["aiogate_open_grants is 1 and was 0", "aiogate_tasks is 6 and was 5"]
