"""The files of a backfill: how long the shelf puts up with spoiled ones."""

import pytest

from ingestion.backfill.plan import Step
from ingestion.backfill.shelf import Place, Shelf
from ingestion.backfill.tools import Later, TimeIsUp
from ingestion.binance.archive import WrongChecksum
from ingestion.binance.archive_files import TRADES
from markets.types import DAY_MS

pytestmark = pytest.mark.django_db

CHECKSUM = "ab" * 32


class Archive:
    """Has every daily file; of each day the first fetch is not what its checksum says."""

    def __init__(self):
        self.fetched = set()

    def checksum(self, file):
        return None if file.is_monthly else CHECKSUM

    def has(self, file):
        return True

    def fetch(self, file, checksum, folder, go_on):
        if file.name not in self.fetched:
            self.fetched.add(file.name)
            raise WrongChecksum(file.name)
        path = folder / file.name
        path.touch()
        return path


class Slow(Archive):
    """Of each fetch a part comes before the time is up."""

    def fetch(self, file, checksum, folder, go_on):
        return None


def test_a_part_of_a_file_that_has_come_is_progress(tmp_path):
    moved = []
    shelf = Shelf(Slow(), "BTCUSDT", tmp_path, Place(), lambda: False, lambda: moved.append(True))

    with pytest.raises(TimeIsUp):
        shelf.find(Step(TRADES, 20_000 * DAY_MS))

    assert moved == [True]


def test_files_that_were_mended_in_time_do_not_count_against_later_ones(tmp_path):
    shelf = Shelf(Archive(), "BTCUSDT", tmp_path, Place(), lambda: True)

    for day in range(20_000, 20_006):
        step = Step(TRADES, day * DAY_MS)
        with pytest.raises(Later):
            shelf.find(step)
        shelf.used(shelf.find(step))

    assert shelf.place.bad == []
