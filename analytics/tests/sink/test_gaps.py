"""The view ``gaps``: one row per gap, as the processor's own events tell it."""

import pytest

from analytics.clickhouse.client import client
from analytics.tests.samples import put
from ingestion.pipeline.process import condense
from ingestion.pipeline.records import Asked, Hole, Joined, Proved
from ingestion.tests.pipeline.factories import START, make_trade
from ingestion.tests.pipeline.run import WANT, Run

pytestmark = pytest.mark.django_db


def trades(*ids):
    return [make_trade(i, i * 1000) for i in ids]


def gaps_of(stage, *batches):
    """The rows of the view after these batches of raw records, each committed."""
    run = Run(WANT)
    for batch in batches:
        run.take(*batch)
        put(stage.log, *condense(run.out.coverage))
        run.commit()
    stage.sink()
    columns = "from_id, to_id, ids, came, state, is_proved, cause, toUnixTimestamp64Milli(opened_at)"
    found = client().query(f"SELECT {columns} FROM gaps ORDER BY from_id").result_rows
    return [(*row[:-1], row[-1] - START) for row in found]


def test_each_gap_is_one_row_with_what_became_of_it(stage):
    found = gaps_of(
        stage,
        trades(1, 5, 10),
        trades(2, 3),
        [Asked("BTCUSDT", 6, 9, "repairing", START + 11_000)],
        trades(4),
        [Joined("BTCUSDT", "disconnect", 0), *trades(20)],
    )

    assert found == [
        (2, 4, 3, 3, "repaired", 0, "stream", 5_002),
        (6, 9, 4, 0, "repairing", 0, "stream", 10_002),
        (11, 19, 9, 0, "open", 0, "disconnect", 20_002),
    ]


@pytest.mark.parametrize(
    ("last", "came", "state"),
    [((2, 3, 7), 3, "repairing"), ((2, 3, 7, 8, 9), 5, "hole"), ((2, 3, 4, 5, 6, 7, 8, 9), 8, "repaired")],
)
def test_a_hole_inside_a_gap_is_a_part_of_its_row(stage, last, came, state):
    hole = Hole("BTCUSDT", 4, 6, "not_served", START + 11_000)

    found = gaps_of(stage, trades(1, 10), [hole], trades(*last))

    assert found == [(2, 9, 8, came, state, 0, "stream", 10_002)]


def test_a_hole_that_was_proved_is_told_so(stage):
    hole = Hole("BTCUSDT", 2, 9, "not_served", START + 11_000)

    found = gaps_of(stage, trades(1, 10), [hole], [Proved("BTCUSDT", 2, 9, START + 12_000)])

    assert found == [(2, 9, 8, 0, "hole", 1, "stream", 10_002)]
