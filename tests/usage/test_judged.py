"""Figures become a usage with every class that was said, and none that was not."""

from itertools import product

import pytest

from aiogate.usage.figures import judged

PARTS = {"cached_input": 1, "cache_write": 4, "cache_write_1h": 2, "reasoning": 3, "input_audio": 5, "output_audio": 6}


SAID = [said for said in product([True, False], repeat=len(PARTS)) if said[1] or not said[2]]
"""Which of them are said; writes for an hour are a part of the writes."""


@pytest.mark.parametrize("said", SAID)
def test_what_was_said_is_told_and_nothing_else(said: tuple[bool, ...]) -> None:
    told = {f"{name}_tokens": PARTS[name] if is_said else None for name, is_said in zip(PARTS, said, strict=True)}
    usage = judged("m-1", 10, 9, **told)
    assert (usage.source, usage.model, usage.input_tokens, usage.output_tokens) == ("measured", "m-1", 10, 9)
    assert {name: getattr(usage, name) for name in told} == told


def test_writes_for_an_hour_may_be_said_alone_where_there_were_none() -> None:
    assert judged("m-1", 10, 9, cache_write_1h_tokens=0).cache_write_1h_tokens == 0
