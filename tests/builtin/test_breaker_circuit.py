"""One circuit on a clock that the test moves: when it opens, who probes, how long it stays open."""

from collections.abc import Callable
from typing import Any

import pytest

from aiogate.builtin.breaker import Phase, Policy
from aiogate.builtin.breaker.circuit import Circuit, Hold

LEASE = 125.0


def a_circuit(random: Callable[[], float] = lambda: 0.0, **policy: Any) -> Circuit:
    return Circuit(Policy(**policy), random)


def opened(at: float = 0.0, **policy: Any) -> Circuit:
    circuit = a_circuit(**policy)
    for _ in range(circuit.policy.failures):
        circuit.failed(at, at)
    assert circuit.phase(at) is Phase.OPEN
    return circuit


def test_four_failures_are_none_and_the_fifth_opens_it() -> None:
    circuit = a_circuit()
    for second in range(4):
        circuit.failed(second, second)
        assert circuit.wait_seconds(second) == 0
    circuit.failed(4.0, 4.0)
    assert circuit.wait_seconds(4.0) == 30.0


def test_a_success_in_between_begins_the_count_anew() -> None:
    circuit = a_circuit()
    for second in range(20):
        circuit.failed(second, second)
        if second % 4 == 3:
            circuit.succeeded(second, second)
        assert circuit.phase(second) is Phase.CLOSED


def test_failures_that_lie_further_apart_than_the_window_do_not_open_it() -> None:
    circuit = a_circuit()
    for second in range(0, 400, 16):
        circuit.failed(second, second)
        assert circuit.phase(second) is Phase.CLOSED
    circuit = a_circuit()
    for second in range(0, 75, 15):
        circuit.failed(second, second)
    assert circuit.phase(60.0) is Phase.OPEN  # five of them, sixty seconds from the first to the last


def test_half_open_lets_one_probe_through_and_nobody_else() -> None:
    circuit = opened()
    assert circuit.wait_seconds(29.9) == pytest.approx(0.1)
    assert circuit.wait_seconds(30.0) == 0
    assert circuit.probe(30.0, LEASE) is not None
    assert circuit.phase(30.0) is Phase.HALF_OPEN
    assert circuit.wait_seconds(30.0) == 1.0


def test_a_probe_that_succeeds_closes_it() -> None:
    circuit = opened()
    probe = circuit.probe(30.0, LEASE)
    circuit.succeeded(31.0, 30.0, probe)
    assert circuit.phase(31.0) is Phase.CLOSED
    assert circuit.is_well


def test_it_stays_open_twice_as_long_each_time_up_to_the_ceiling() -> None:
    circuit, now, waits = opened(max_open_seconds=200.0), 0.0, []
    for _ in range(5):
        waits.append(circuit.wait_seconds(now))
        now += waits[-1]
        circuit.failed(now, now, circuit.probe(now, LEASE))
    assert waits == [30.0, 60.0, 120.0, 200.0, 200.0]
    assert circuit.openings == 6


def test_jitter_takes_up_to_a_fifth_off_all_but_the_first_opening() -> None:
    circuit = a_circuit(random=lambda: 1.0)
    for _ in range(5):
        circuit.failed(0.0, 0.0)
    assert circuit.wait_seconds(0.0) == 30.0
    circuit.failed(30.0, 30.0, circuit.probe(30.0, LEASE))
    assert circuit.wait_seconds(30.0) == pytest.approx(48.0)


def test_after_a_success_it_opens_for_the_first_length_again() -> None:
    circuit = opened()
    circuit.failed(30.0, 30.0, circuit.probe(30.0, LEASE))
    circuit.succeeded(91.0, 90.0, circuit.probe(90.0, LEASE))
    for _ in range(5):
        circuit.failed(100.0, 100.0)
    assert circuit.wait_seconds(100.0) == 30.0


def test_a_probe_that_finds_out_nothing_frees_its_slot() -> None:
    circuit = opened()
    probe = circuit.probe(30.0, LEASE)
    assert probe is not None
    circuit.release(probe)
    assert circuit.wait_seconds(31.0) == 0
    assert circuit.probe(31.0, LEASE) is not None


def test_a_probe_that_takes_for_ever_gives_way_to_another_and_counts_no_more() -> None:
    circuit = opened()
    slow = circuit.probe(30.0, LEASE)
    assert circuit.wait_seconds(30.0 + LEASE) == 0
    fresh = circuit.probe(30.0 + LEASE, LEASE)
    circuit.failed(160.0, 30.0, slow)
    assert slow is not None
    circuit.release(slow)
    assert circuit.wait_seconds(160.0) == 1.0
    circuit.succeeded(161.0, 155.0, fresh)
    assert circuit.phase(161.0) is Phase.CLOSED


def test_the_head_of_a_probes_answer_lets_everybody_in_again() -> None:
    """Its body may be a stream of hours."""
    circuit = opened()
    probe = circuit.probe(30.0, LEASE)
    assert probe is not None
    circuit.answered(probe, 31.0)
    assert circuit.wait_seconds(31.0) == 0


def test_a_probe_whose_stream_breaks_after_its_head_opens_it_for_longer() -> None:
    circuit = opened()
    probe = circuit.probe(30.0, LEASE)
    assert probe is not None
    circuit.answered(probe, 31.0)
    circuit.failed(40.0, 30.0, probe)
    assert circuit.wait_seconds(40.0) == 60.0


def test_a_probe_whose_stream_breaks_is_one_failure_where_others_have_succeeded_meanwhile() -> None:
    circuit = opened()
    probe = circuit.probe(30.0, LEASE)
    assert probe is not None
    circuit.answered(probe, 31.0)
    circuit.succeeded(35.0, 32.0)
    circuit.failed(40.0, 30.0, probe)
    assert circuit.phase(40.0) is Phase.CLOSED
    assert circuit.failures == 1


def test_what_was_sent_before_it_opened_says_nothing_any_more() -> None:
    circuit = opened(at=10.0)
    circuit.succeeded(11.0, 5.0)
    circuit.failed(12.0, 5.0)
    assert circuit.wait_seconds(12.0) == 28.0
    circuit.succeeded(41.0, 40.0, circuit.probe(40.0, LEASE))
    for _ in range(5):
        circuit.failed(50.0, 5.0)
    assert circuit.phase(50.0) is Phase.CLOSED


def test_a_pause_lasts_as_long_as_the_agent_asks_and_the_policy_admits() -> None:
    circuit = a_circuit(max_pause_seconds=100.0)
    circuit.pause(0.0, 20.0)
    circuit.pause(1.0, 5.0)
    assert circuit.wait_seconds(1.0) == 19.0
    assert circuit.phase(20.0) is Phase.CLOSED
    circuit.pause(20.0, 1e9)
    assert circuit.wait_seconds(20.0) == 100.0


def test_an_open_circuit_that_is_paused_waits_for_both() -> None:
    circuit = opened()
    circuit.pause(0.0, 40.0)
    assert circuit.wait_seconds(0.0) == 40.0
    assert circuit.phase(35.0) is Phase.PAUSED
    assert circuit.probe(35.0, LEASE) is None
    assert circuit.phase(40.0) is Phase.HALF_OPEN


@pytest.mark.parametrize("is_open, phase", [(True, Phase.HELD_OPEN), (False, Phase.HELD_CLOSED)])
def test_what_an_operator_holds_stays_whatever_comes(is_open: bool, phase: Phase) -> None:
    circuit = opened()
    circuit.reset(1.0, Hold(open=is_open, actor="alice", reason="maintenance", since=0.0))
    circuit.succeeded(2.0, 2.0)
    for _ in range(9):
        circuit.failed(3.0, 3.0)
    assert circuit.phase(1e6) is phase
    assert (circuit.failures, circuit.openings) == (0, 1)
    assert (circuit.wait_seconds(1e6) > 0) == is_open


def test_a_reset_forgets_everything() -> None:
    circuit = opened()
    probe = circuit.probe(30.0, LEASE)
    circuit.pause(30.0, 50.0)
    circuit.reset(31.0)
    assert circuit.is_well
    assert circuit.wait_seconds(31.0) == 0
    circuit.failed(32.0, 30.0, probe)
    assert circuit.failures == 0
