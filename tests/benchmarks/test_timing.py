"""Timing in turns, with clocks of the test's own: what load on the machine spoils, and what not."""

import itertools

import pytest

from timing import Job, interleave, ratio, stream_job


class Machine:
    """A clock that jobs move on, by `load` times the seconds they need."""

    def __init__(self):
        self.now, self.log, self.load = 0.0, [], itertools.repeat(1.0)

    def job(self, name, seconds, steps=1):
        def step():
            self.log.append(name)
            self.now += seconds * next(self.load)
            return name

        return Job(step, steps)

    def interleave(self, jobs, turns, **options):
        return interleave(jobs, turns, wall=lambda: self.now, cpu=lambda: 10 * self.now, **options)


@pytest.fixture
def machine():
    return Machine()


def test_jobs_take_turns_and_each_turn_is_timed_by_both_clocks(machine):
    times = machine.interleave({"a": machine.job("a", 1.0), "b": machine.job("b", 3.0, steps=2)}, 2)
    assert machine.log == ["a", "b", "b"] * 2
    assert times["a"].wall == [1.0, 1.0]
    assert times["b"].wall == [6.0, 6.0]
    assert times["b"].cpu == [60.0, 60.0]
    assert times["b"].result == "b"


def test_load_spoils_neither_the_ratio_nor_the_fastest_turn(machine):
    # Three times as fast. Nine turns of eleven run under load, which slows both jobs of a turn down by the same.
    loads = [1.0, 2.0, 2.5, 40.0, 8.0, 3.0, 1.0, 9.0, 9.5, 20.0, 30.0]
    machine.load = (load for load in loads for _ in "ab")
    times = machine.interleave({"slow": machine.job("slow", 3.0), "fast": machine.job("fast", 1.0)}, len(loads))
    assert ratio(times["slow"].wall, times["fast"].wall) == {"median": 3.0, "min": 3.0, "max": 3.0}
    assert (min(times["slow"].wall), min(times["fast"].wall)) == pytest.approx((3.0, 1.0))


def test_load_that_falls_on_one_job_of_a_turn_moves_the_ends_alone(machine):
    machine.load = iter([1.0, 5.0, 1.0, 1.0, 2.0, 1.0])
    times = machine.interleave({"slow": machine.job("slow", 3.0), "fast": machine.job("fast", 1.0)}, 3)
    assert ratio(times["slow"].wall, times["fast"].wall) == {"median": 3.0, "min": 0.6, "max": 6.0}


def test_what_comes_first_and_what_surrounds_a_turn_does_not_count(machine):
    inner = machine.job("step", 1.0)

    def other(name):
        machine.log.append(name)
        machine.now += 100.0

    job = Job(inner.step, 1, lambda: other("start"), lambda: other("stop"))
    times = machine.interleave({"job": job}, 2, warm_up=2)
    assert times["job"].wall == [1.0, 1.0]
    assert machine.log == ["start", "step", "step", "stop", "start", "step", "stop", "start", "step", "stop"]


def test_a_stream_is_opened_for_every_turn_and_what_lies_ready_is_used_up_first(machine):
    opened, closed, seen = [], [], []

    def stream():
        opened.append(len(opened))
        try:
            for number in itertools.count():
                machine.now += 0.0 if number < 4 else 1.0  # four items were prepared in advance
                yield number
        finally:
            closed.append(len(closed))

    times = machine.interleave({"job": stream_job(stream, seen.append, 2, ahead=4)}, 2)
    assert times["job"].wall == [2.0, 2.0]
    assert seen == [0, 1, 2, 3, 4, 5] * 2
    assert opened == closed == [0, 1]


def test_a_ratio_needs_as_many_turns_of_both():
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])
