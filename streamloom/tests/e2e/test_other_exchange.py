"""The demo against exchanges that are not ours: all that the contract leaves open, each way once.

What they serve is recorded or made here; what must come out is folded here with decimals, from the same rows. The
first variants run with every test run, each bundling several quirks; the others on request (``-m faults``).
"""

import random
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from django.conf import settings

from streamloom.tests.demo.running import RunningDemo
from streamloom.tests.e2e import judging
from streamloom.tests.e2e.other_exchange import OtherExchange
from streamloom.tests.e2e.quirks import Quirks
from streamloom.tests.e2e.recording import MINUTE, Row, by_symbol, fills

DATA = settings.BASE_DIR.parent / "shared/data/binance/trades"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the recorded market data is not here")
pytestmark = [pytest.mark.timeout(240), needs_data]
HOUR = 60 * MINUTE


@dataclass(frozen=True)
class Variant:
    """``hours`` of the days named, and how they are served."""

    quirks: Quirks
    hours: float = 1.0
    days: tuple[str, ...] = ("2019-05-25",)
    made_up: bool = False
    history: str = "0"

    def rows(self) -> list[Row]:
        """One symbol for each day."""
        if self.made_up:
            return impossible_market()
        names = ("ADAUSDT", "BNBUSDT")
        return [row for day, name in zip(self.days, names, strict=False) for row in self._day(day, name)]

    def _day(self, day: str, name: str) -> list[Row]:
        rows = fills(DATA / f"{day}-ADAUSDT.csv.gz", name)
        end = rows[0].time // HOUR * HOUR + self.hours * HOUR
        return [row for row in rows if row.time < end]


def impossible_market() -> list[Row]:
    """Sweeps within a millisecond, ids taken back, quantities from 1e-8 to 1e10, prices from 1e-8 to 90,000."""
    chance, rows, time, fill = random.Random(5), [], 1_558_742_400_005, 900
    for place in range(1_500):
        time += chance.choice([0, 0, 0, 1, 500, 2_500, 9_000]) if chance.random() < 0.99 else 200_000
        if chance.random() < 0.01:
            rows.append(Row("ADAUSDT", 100 + place, "0", "0", -1, -1, time, False, time + 1))
            continue
        price = chance.choice([f"0.{chance.randrange(1, 9000):08}", f"{chance.randrange(1, 90_000)}.10000000"])
        qty = chance.choice(["9999999999.12345678", "0.00000001", "1.50000000", "12345678901.87654321"])
        maker, delay = chance.random() < 0.5, chance.choice([1, 2, 900])
        rows.append(Row("ADAUSDT", 100 + place, price, qty, fill, fill, time, maker, time + delay))
        fill += 1
    return rows


FAST = {
    "closed klines only, replies late and as strings, REST lags, is gzipped and HTTP/1.0": Variant(
        Quirks(
            klines="closed",
            rest="lag",
            late_reply=400,
            string_ids=True,
            gzip=True,
            http="1.0",
            info="minimal",
            extra=True,
            deflate=True,
        )
    ),
    "no klines at all, REST knows the end, the clock is this machine's": Variant(
        Quirks(klines="none", rest="all", clock="machine")
    ),
    "two days beside each other, REST knows the ends": Variant(
        Quirks(rest="all", clock="machine", aligned=True, klines="trades", empty_klines=False),
        days=("2019-05-25", "2019-06-01"),
    ),
    "impossible numbers, microseconds, closed klines before their last trades": Variant(
        Quirks(klines="early", micros=True), made_up=True
    ),
}
SLOW = {
    "it hangs up at the end and has no more": Variant(Quirks(end="close"), hours=2),
    "it starts again from its first row": Variant(Quirks(end="restart"), hours=2),
    "it starts again from its first row, without klines": Variant(Quirks(end="restart", klines="none", rest="all")),
    "klines ten seconds late": Variant(Quirks(klines="late", clock="machine")),
    "2,000 symbols, answers after two seconds": Variant(Quirks(info="many", slow_s=2.0)),
    "a clock that stands still": Variant(Quirks(clock="still")),
    "only /ws": Variant(Quirks(paths=("ws",))),
    "a whole day": Variant(Quirks(klines="closed", rest="all"), hours=24),
    "a whole day with gaps": Variant(Quirks(klines="closed", rest="all"), hours=24, days=("2019-06-01",)),
    "sixty times as fast, from when the server starts": Variant(
        Quirks(speed=60, starts="server", tail_ms=70_000), hours=0.3, history="2h"
    ),
    "sixty times as fast, REST lags": Variant(
        Quirks(speed=60, starts="server", rest="lag", klines="late"), hours=0.3, history="2h"
    ),
}


def everything_right(variant: Variant, folder: Path) -> None:
    """Run a demo against the variant until nothing differs."""
    rows = by_symbol(variant.rows())
    with OtherExchange([row for mine in rows.values() for row in mine], variant.quirks) as exchange:
        demo = RunningDemo(exchange, folder, "--symbols", ",".join(rows), "--history", variant.history)
        try:
            for mine in rows.values():
                becomes_right(demo, mine)
        finally:
            demo.kill()
    assert '"level": "error"' not in demo.said


def becomes_right(demo: RunningDemo, rows: list[Row], first_minute: int | None = None) -> None:
    path, found = f"/coverage?symbol={rows[0].symbol}", [""]

    def right() -> bool:
        found[:] = judging.differences(demo, rows, first_minute) if held() else [f"held: {demo.get(path)}"]
        return not found

    def held() -> bool:
        return (demo.get(path) or {}).get("held") == len(rows)

    try:
        demo.until(right, "everything as recorded", 100)
    except AssertionError as error:
        pytest.fail(f"{found[:3]} after {str(error)[:2_000]}")


@pytest.mark.parametrize("name", FAST)
def test_what_it_serves_is_answered_in_every_field(name: str, tmp_path: Path) -> None:
    everything_right(FAST[name], tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize("name", SLOW)
def test_what_it_serves_is_answered_however_it_serves_it(name: str, tmp_path: Path) -> None:
    everything_right(SLOW[name], tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize("history", ["0", "2h"])
def test_joined_in_the_middle_it_has_what_is_asked_for_and_after_a_restart_goes_on_at_another_port(
    history: str, tmp_path: Path
) -> None:
    rows = Variant(Quirks(), hours=1.5).rows()
    joined_at = 40 * MINUTE
    begin = rows[0].seen + joined_at
    first = next(row for row in rows if row.seen >= begin)
    minute = first.seen // MINUTE * MINUTE
    # The trade before the covered minute is held too: it gives the close before it.
    start = max(row.id for row in rows if row.time < minute)
    wanted = rows if history != "0" else [row for row in rows if row.id >= start]
    middle = [row for row in rows if row.seen < begin + 20 * MINUTE]
    arguments = ("--symbols", "ADAUSDT", "--history", history)

    for served, skip in ((middle, joined_at), (rows, joined_at + 25 * MINUTE)):
        with OtherExchange(served, replace(Quirks(klines="closed"), skip_ms=skip)) as exchange:
            demo = RunningDemo(exchange, tmp_path, *arguments)
            try:
                becomes_right(demo, [row for row in wanted if row in served], None if history != "0" else minute)
                assert demo.stop() == 0
            finally:
                demo.kill()
