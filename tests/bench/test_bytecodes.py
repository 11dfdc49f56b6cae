"""What a call and an event take is counted, and stays below a bound: it grows by what somebody adds, not by noise."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MOST_OF_A_CALL = 7_000
MOST_OF_AN_EVENT = 280


@pytest.fixture(scope="module")
def counted() -> Any:
    words = (sys.executable, "-m", "tests.bench.bytecodes", "--json")
    return json.loads(subprocess.run(words, capture_output=True, check=True, cwd=Path(__file__).parents[2]).stdout)


def test_a_small_call_stays_below_its_bound(counted: Any) -> None:
    _, entries = counted["call"]["functions"]["aiogate/builtin/roles.py:Roles.pre_request"]
    assert round(entries, 1) == 1.0  # each call is counted, and once
    assert 1_000 < counted["call"]["bytecodes"] < MOST_OF_A_CALL


def test_an_event_stays_below_its_bound(counted: Any) -> None:
    _, entries = counted["event"]["functions"]["aiogate/proxy/relay.py:_Passage.pass_on"]
    assert 0.8 < entries < 1.2
    assert 50 < counted["event"]["bytecodes"] < MOST_OF_AN_EVENT
