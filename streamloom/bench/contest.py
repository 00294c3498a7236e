"""Two ways to do the same work: checked for equality first, then timed in turn.

Machines swing, so what counts is the ratio: each round runs both in random order, and the best of all rounds must
tell about the same as the median of the rounds' ratios.
"""

import gc
import random
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

# Best-of and median may differ by this much before the figures are called noisy.
AGREE_WITHIN: Final = 0.15


class Differs(AssertionError):
    """The fast version gives something else than the naive one: its time means nothing."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to do the work.

    ``place`` gives a fresh context (a log, a table) for each run and is not timed; ``run(context)`` is; ``view(context,
    result)`` brings the outcome into the form that both ways are compared in, and is not timed.
    """

    run: Callable[[Any], Any]
    view: Callable[[Any, Any], Any]
    place: Callable[[], AbstractContextManager[Any]] = nullcontext


@dataclass(frozen=True, slots=True)
class Case:
    """A piece of work of ``units`` ``unit``s. ``measures``: "cpu" (user + sys time) or "memory" (what is kept)."""

    name: str
    units: int
    unit: str
    naive: Contestant
    fast: Contestant
    measures: str = "cpu"


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured, per unit: CPU time in microseconds, or bytes. Ratios above 1: the fast way is better."""

    name: str
    unit: str
    units: int
    measures: str
    naive: float
    fast: float
    ratio: float
    median_ratio: float
    rounds: int

    @property
    def is_steady(self) -> bool:
        """True when the best rounds and the usual ones tell the same."""
        return abs(self.ratio / self.median_ratio - 1.0) <= AGREE_WITHIN


def compete(case: Case, rounds: int, chance: random.Random) -> Figures:
    """The figures of a case. Raises Differs when the two ways do not give the same."""
    check(case)
    if case.measures == "memory":
        naive, fast = [_kept_bytes(case.naive)], [_kept_bytes(case.fast)]
    else:
        naive, fast = _times(case, rounds, chance)
    ratios = [slow / quick for slow, quick in zip(naive, fast, strict=True)]
    return Figures(
        case.name,
        case.unit,
        case.units,
        case.measures,
        min(naive) / case.units,
        min(fast) / case.units,
        min(naive) / min(fast),
        statistics.median(ratios),
        len(naive),
    )


def check(case: Case) -> None:
    """Raises Differs when the two ways do not give the same."""
    expected, found = (_outcome(contestant) for contestant in (case.naive, case.fast))
    if expected != found:
        raise Differs(f"{case.name}: the fast version gives something else than the naive one{_where(expected, found)}")


def _where(expected: Any, found: Any) -> str:
    """The first difference of two lists, for whoever has to look for it."""
    if not isinstance(expected, list) or not isinstance(found, list):
        return f": {str(expected)[:300]} is not {str(found)[:300]}"
    for place, (left, right) in enumerate(zip(expected, found, strict=False)):
        if left != right:
            return f", first at {place}: {str(left)[:300]} is not {str(right)[:300]}"
    return f": {len(expected)} is not {len(found)} of them"


def _outcome(contestant: Contestant) -> Any:
    with contestant.place() as context:
        return contestant.view(context, contestant.run(context))


def _times(case: Case, rounds: int, chance: random.Random) -> tuple[list[float], list[float]]:
    times: dict[str, list[float]] = {"naive": [], "fast": []}
    pair = [("naive", case.naive), ("fast", case.fast)]
    for _ in range(rounds):
        chance.shuffle(pair)
        for name, contestant in pair:
            times[name].append(_cpu_us(contestant))
    return times["naive"], times["fast"]


def _cpu_us(contestant: Contestant) -> float:
    """CPU time of all threads of the process: what the engine's and the log's threads spend counts too."""
    with contestant.place() as context:
        gc.collect()
        # The benchmark's own material is no garbage, and must not be looked through in the middle of a run.
        gc.freeze()
        started = time.process_time_ns()
        contestant.run(context)
        spent = time.process_time_ns() - started
        gc.unfreeze()
    # The clock has a grain; nothing is free.
    return max(spent, 1) / 1000


def _kept_bytes(contestant: Contestant) -> float:
    with contestant.place() as context, _traced():
        before = tracemalloc.get_traced_memory()[0]
        kept = contestant.run(context)
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
        del kept
    return float(max(after - before, 1))


@contextmanager
def _traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()
