"""Whose turn it is."""

import pytest

from ingestion.repair.plan import next_due_s, next_question
from ingestion.repair.work import Missing, Suspect, SymbolWork

LIVE, HISTORY = "disconnect", "backfill"


def gap(from_id, *, cause=LIVE, time=0, served=0, due_s=0.0, size=2_000):
    return Missing(from_id, from_id + size - 1, time, cause, due_s, served=served)


def chosen(*targets, now_s=0.0):
    work = SymbolWork("X", missing=[t for t in targets if isinstance(t, Missing)])
    work.suspects = [t for t in targets if isinstance(t, Suspect)]
    question = next_question([SymbolWork("IDLE"), work], now_s)
    return None if question is None else question[1].from_id


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([], None),
        ([gap(10_000, due_s=1.0)], None),
        # History waits even for a live gap that was asked for a moment ago.
        ([gap(10_000, cause=HISTORY, served=1, time=9), gap(20_000, served=7)], 20_000),
        ([gap(10_000, cause=HISTORY, served=1), gap(20_000, served=7, due_s=1.0)], 10_000),
        # Everyone gets a page in turn; the newest is first.
        ([gap(10_000, served=3, time=9), gap(20_000, served=2, time=1)], 20_000),
        ([gap(10_000, time=5), gap(20_000, time=9), gap(30_000, time=7)], 20_000),
        # What comes with the same page is asked for together, from the lowest on.
        ([gap(10_000, size=1, time=1), gap(10_400, size=1, time=2), gap(10_901, size=1, time=3)], 10_400),
        ([gap(10_000, size=1, due_s=1.0), gap(10_400, size=1)], 10_400),
        ([Suspect(9_990, 9_990, 0, LIVE, 0.0, below=9_989), gap(10_000, time=9)], 9_990),
    ],
)
def test_the_next_question(targets, expected):
    assert chosen(*targets) == expected


def test_the_next_moment_at_which_something_is_due():
    works = [SymbolWork("X", missing=[gap(1, due_s=7.0)]), SymbolWork("Y", missing=[gap(1, due_s=5.0)])]

    assert next_due_s(works) == 5.0
    assert next_due_s([]) is None
