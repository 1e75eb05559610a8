"""Shares sum to one, the kernel's CPU time is believed, and nothing is invented."""

from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from concview.analysis import accounting
from concview.analysis.records import Bucket
from concview.model import State

NS = st.integers(0, 10**10)


def bucket(cpu: int = -1, delay: int = -1, **states: int) -> Bucket:
    sampled = [0] * len(State)
    for name, value in states.items():
        sampled[State[name.upper()]] = value
    one = Bucket(0, sum(sampled), tuple(sampled), 0)
    one.cpu_ns, one.run_delay_ns = cpu, delay
    return one


@given(st.lists(NS, min_size=8, max_size=8), st.integers(-1, 10**11), st.integers(-1, 10**11))
def test_correction_keeps_the_wall_time(sampled: list[int], cpu: int, delay: int) -> None:
    got = accounting.corrected(sampled, cpu, delay)
    assert sum(got) == approx(sum(sampled), rel=1e-6, abs=1)
    assert all(v >= -1e-6 for v in got)
    shares = accounting.to_shares(got)
    assert sum(shares) == approx(1 if sum(sampled) else 0, abs=1e-9)


def test_the_kernels_cpu_time_replaces_the_sampled_one() -> None:
    shares = accounting.to_shares(accounting.total([bucket(cpu=300, delay=100, running=500, lock=400, io=100)])[0])
    assert shares[State.RUNNING] == approx(0.3)
    assert shares[State.RUNNABLE] == approx(0.1)
    assert shares[State.LOCK] == approx(0.48)  # what is left, in the sampled proportion 4:1
    assert shares[State.IO] == approx(0.12)


def test_a_thread_never_seen_off_the_cpu_stays_on_it() -> None:
    shares = accounting.to_shares(accounting.total([bucket(cpu=920, delay=40, running=1000)])[0])
    assert shares[State.RUNNING] == approx(0.96)
    assert shares[State.RUNNABLE] == approx(0.04)


def test_a_long_wait_for_a_cpu_that_is_not_booked_yet_is_no_running() -> None:
    """Ready to run for ten seconds, with a tenth of a second of CPU: the wait is booked when it ends."""
    second = 10**9
    shares = accounting.to_shares(accounting.corrected([10 * second, *[0] * 7], second // 10, 3 * second))
    assert shares[State.RUNNING] == approx(0.01) and shares[State.RUNNABLE] == approx(0.99)
    sampled = [0] * 8
    sampled[State.RUNNING], sampled[State.GIL] = 8 * second, 2 * second
    shares = accounting.to_shares(accounting.corrected(sampled, second // 10, 0))
    assert (shares[State.RUNNABLE], shares[State.GIL]) == (approx(0.79), approx(0.2))  # type: ignore[comparison-overlap]


def test_counters_that_come_late_take_no_running_away() -> None:
    """Of half a second none is counted yet; of three seconds the last one is not."""
    half = accounting.to_shares(accounting.corrected([500_000_000, *[0] * 7], 0, 0))
    most = accounting.to_shares(accounting.corrected([3_000_000_000, *[0] * 7], 1_900_000_000, 0))
    assert half[State.RUNNING] == most[State.RUNNING] == approx(1)


def test_without_counters_the_samples_stand() -> None:
    shares = accounting.to_shares(accounting.total([bucket(running=1, unknown=3)])[0])
    assert shares[State.UNKNOWN] == approx(0.75)


def test_no_time_gives_no_shares() -> None:
    assert sum(accounting.to_shares([0] * 8)) == 0
    assert accounting.dominant(bucket()) == -1
    assert accounting.dominant(bucket(idle=5)) == State.IDLE


def test_still_is_one_state_off_the_cpu_and_nothing_counted() -> None:
    def counted(cpu: int = 0, voluntary: int = 0, **states: int) -> Bucket:
        one = bucket(cpu=cpu, delay=0, **states)
        one.voluntary, one.involuntary = voluntary, 0
        return one

    assert accounting.still(counted(io=5)) == State.IO
    assert accounting.still(counted(io=5, idle=1)) == -1
    assert accounting.still(counted(running=5)) == -1
    assert accounting.still(counted(cpu=1, io=5)) == -1
    assert accounting.still(counted(voluntary=1, io=5)) == -1
    assert accounting.still(counted()) == -1
    assert accounting.still(bucket(io=5)) == -1  # without counters nobody knows
