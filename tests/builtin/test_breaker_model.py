"""One circuit against a model that is too simple to be wrong, with calls, heads, ends and times at random."""

from typing import Literal

import attrs
from hypothesis import given
from hypothesis import strategies as st

from aiogate.builtin.breaker import Policy
from aiogate.builtin.breaker.circuit import Circuit, Probe

POLICY = Policy(failures=3, window_seconds=8.0, open_seconds=4.0, max_open_seconds=20.0)
LEASE = 6.0

Verdict = Literal["good", "bad", "nothing"]


@attrs.define(eq=False)
class Call:
    """One exchange that was let through, in which period of the circuit, and whether as its probe."""

    began: float
    period: int
    is_probe: bool
    probe: Probe | None
    ended: bool = False


@attrs.define
class Model:
    """Keeps every verdict of the period and counts anew each time. A period ends when it opens or closes."""

    now: float = 1000.0
    period: int = 0
    verdicts: list[tuple[float, Verdict]] = attrs.field(factory=list)
    opened: list[float] = attrs.field(factory=list)
    """When it opened, since the agent was last proven to work."""
    is_open: bool = False
    probing: Call | None = None
    on_trial: Call | None = None

    def wait(self) -> float:
        if not self.is_open:
            return 0.0
        until = self.opened[-1] + min(4.0 * 2 ** (len(self.opened) - 1), 20.0)
        if self.now < until:
            return until - self.now
        probed = self.probing is not None and self.now < self.probing.began + LEASE
        return 1.0 if probed else 0.0

    def call(self, probe: Probe | None) -> Call:
        call = Call(self.now, self.period, self.is_open, probe)
        if self.is_open:
            self.probing = call
        return call

    def head(self, call: Call) -> None:
        if call is self.probing:
            self.close()
            self.on_trial = call

    def end(self, call: Call, verdict: Verdict) -> None:
        if call is self.probing:
            self.probing = None
            if verdict == "good":
                self.close()
                self.opened.clear()
            elif verdict == "bad":
                self.open()
        elif verdict == "nothing" or self.is_open:
            pass
        elif call is self.on_trial and verdict == "bad" and self.opened:
            self.open()
        elif call.period == self.period or call is self.on_trial:
            self.count(verdict)

    def count(self, verdict: Verdict) -> None:
        self.verdicts.append((self.now, verdict))
        if verdict == "good":
            self.opened.clear()
        last = self.verdicts[-POLICY.failures :]
        if [each for _, each in last] == ["bad"] * POLICY.failures and self.now - last[0][0] <= POLICY.window_seconds:
            self.open()

    def open(self) -> None:
        self.begin(is_open=True)
        self.opened.append(self.now)

    def close(self) -> None:
        self.begin(is_open=False)

    def begin(self, *, is_open: bool) -> None:
        self.period += 1
        self.is_open = is_open
        self.verdicts.clear()
        self.probing = self.on_trial = None


STEPS = st.lists(
    st.tuples(
        st.integers(1, 24).map(lambda eighths: eighths / 8),
        st.sampled_from(["call", "call", "head", "good", "bad", "bad", "bad", "nothing"]),
        st.integers(0, 3),
    ),
    max_size=120,
)


@given(STEPS)
def test_every_decision_is_what_counting_everything_anew_would_say(steps: list[tuple[float, str, int]]) -> None:
    model, circuit, calls = Model(), Circuit(POLICY, lambda: 0.0), list[Call]()
    for seconds, what, which in steps:
        model.now += seconds
        under_way = [call for call in calls if not call.ended]
        if what == "call" or not under_way:
            assert circuit.wait_seconds(model.now) == model.wait()
            if model.wait() == 0:
                calls.append(model.call(circuit.probe(model.now, LEASE)))
                assert calls[-1].is_probe == (calls[-1].probe is not None)
                assert not model.is_open or circuit.wait_seconds(model.now) > 0
        else:
            act(circuit, model, under_way[which % len(under_way)], what)
        assert circuit.wait_seconds(model.now) == model.wait()


def act(circuit: Circuit, model: Model, call: Call, what: str) -> None:
    """Let the head or the end of a call arrive, at the circuit and at the model."""
    call.ended = what != "head"
    match what:
        case "head":
            if call.probe is not None:
                circuit.answered(call.probe, model.now)
                model.head(call)
        case "good":
            circuit.succeeded(model.now, call.began, call.probe)
            model.end(call, "good")
        case "bad":
            circuit.failed(model.now, call.began, call.probe)
            model.end(call, "bad")
        case _:
            if call.probe is not None:
                circuit.release(call.probe)
            model.end(call, "nothing")


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=12))
def test_jitter_never_makes_it_longer_than_twice_the_time_before_nor_shorter_than_four_fifths_of_it(
    numbers: list[float],
) -> None:
    given_out = iter(numbers)
    circuit, now = Circuit(POLICY, lambda: next(given_out)), 0.0
    for _ in range(POLICY.failures):
        circuit.failed(now, now)
    assert circuit.wait_seconds(now) == 4.0
    for opening in range(1, len(numbers) + 1):
        now += circuit.wait_seconds(now)
        circuit.failed(now, now, circuit.probe(now, LEASE))
        whole = min(4.0 * 2**opening, 20.0)
        assert whole * 0.8 - 1e-6 <= circuit.wait_seconds(now) <= whole + 1e-6


@given(STEPS)
def test_whoever_waits_as_long_as_told_finds_it_ready_for_a_probe(steps: list[tuple[float, str, int]]) -> None:
    circuit, now = Circuit(POLICY, lambda: 0.5), 0.0
    for seconds, what, _ in steps:
        now += seconds
        if what == "bad":
            circuit.failed(now, now, circuit.probe(now, LEASE))
        wait = circuit.wait_seconds(now)
        assert circuit.wait_seconds(now + wait) == 0
        assert wait == 0 or circuit.wait_seconds(now + wait * 0.99) > 0
