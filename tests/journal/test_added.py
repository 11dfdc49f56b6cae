"""What the totals add of an exchange without reading its record: the same that reading it adds."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from aiogate import Exchange, Outcome, Principal, Usage
from aiogate.errors import refusal
from aiogate.journal.added import added
from aiogate.journal.ledger import Ledger
from aiogate.journal.record import written_down
from aiogate.journal.segment import Segment
from aiogate.journal.tally import Tally
from tests.exchanges import an_agent, an_exchange

NAMES = st.text(max_size=6) | st.just("x" * 300) | st.sampled_from(['"', "\\", "\n", "é", "\ud800"])
FIGURES = st.none() | st.integers(0, 10**12) | st.sampled_from([-1, 2**63 - 1, 2**63, True, 1.5, "7"])


def ended(**facts: Any) -> Exchange:
    usually: dict[str, Any] = {
        "principal": Principal(id="alice", key_id="k-alice"),
        "agent": an_agent(),
        "status": 200,
        "outcome": Outcome.COMPLETED,
        "usage": Usage(source="measured", model="m-1", input_tokens=1, output_tokens=2),
        "cost_nanousd": 3,
        "ended": 0.4,
    }
    return an_exchange(**{**usually, **facts})


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    tokens = ("input", "cached_input", "cache_write", "output", "reasoning", "output_audio")
    told = draw(st.dictionaries(st.sampled_from(tokens), FIGURES))
    usage = Usage(
        source=draw(st.sampled_from(["measured", "unknown", "flat"])),
        model=draw(st.none() | NAMES),
        **{f"{name}_tokens": figure for name, figure in told.items()},
    )
    principal = Principal(
        id=draw(NAMES), key_id=draw(st.none() | NAMES), department=draw(st.none() | NAMES), cost_center=draw(NAMES)
    )
    oddities = {
        "principal": st.none(),
        "agent": st.none() | st.just(an_agent(cost_center="research")),
        "outcome": st.sampled_from(list(Outcome)),
        "refusal": st.just(refusal("rate_limited", "no")),
        "cost_centers": st.sampled_from([(("a", 100.0),), (("a", 40.0), ("b", 60.0))]),
    }
    odd = draw(st.sets(st.sampled_from(sorted(oddities)), max_size=2))
    facts = {
        "principal": principal,
        "status": draw(st.integers(200, 599)),
        "cost_nanousd": draw(FIGURES),
        "usage": usage,
        "started_wall": draw(st.floats(0, 4e9)),
    }
    return ended(**{**facts, **{name: draw(oddities[name]) for name in odd}})


@given(exchanges())
def test_it_is_what_reading_the_record_adds(exchange: Exchange) -> None:
    line, is_whole = written_down(exchange)
    what = added(exchange)
    if what is None or not is_whole:
        return
    read, known = Tally(), Ledger()
    read.add(orjson.loads(line))
    known.take()
    known.note(Segment(path=None, fd=-1, opened_milliseconds=0, size=1), 0, b"", what)  # type: ignore[arg-type]
    (stretch,) = known.take()
    assert stretch.tally is not None
    assert list(stretch.tally.rows()) == list(read.rows())


@given(st.integers(1, 4_000_000), st.floats(-0.002, 0.002))
def test_the_quarter_is_that_of_the_milliseconds_in_the_record(quarters: int, seconds: float) -> None:
    exchange = ended(started_wall=quarters * 900 + seconds)
    read = Tally()
    read.add(orjson.loads(written_down(exchange)[0]))
    what = added(exchange)
    assert what is not None
    assert [what[:2]] == [row[:2] for row in read.rows()]


def test_an_exchange_that_ends_as_most_do_need_not_be_read() -> None:
    assert added(ended()) is not None
    assert added(ended(usage=Usage(), cost_nanousd=None, status=404)) is not None
