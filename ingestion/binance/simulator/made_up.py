"""A market that is a pure function of seed, symbol and time: any past can be asked for, at once.

Ids: the number of trades before minute m is ``rate x (m + noise(m))`` cut down, with noise in [0, 1): it
never falls, and both ways between id and time are arithmetic. Every row has its share of exactly
twice as many fills, so fill ids follow from the same count.
"""

import hashlib
import math
import random
from bisect import bisect_left
from functools import lru_cache
from operator import attrgetter

from ingestion.binance.simulator.bars import Bar
from ingestion.binance.simulator.book import Book, is_within
from ingestion.binance.simulator.listings import LISTED_AT, Listing, listings
from ingestion.binance.simulator.rows import Row
from ingestion.binance.simulator.shapes import Shape, Sums, make_shape
from markets.types import DAY_MS, MINUTE_MS, SCALE

_MASK = (1 << 64) - 1
_NOISE = 1024
_VARIANTS = 8
_DAY_MINUTES = DAY_MS // MINUTE_MS
_MINUTE_SIGMA = 0.0005
# How far the walk strays from the listing's price: (days, part of the price).
_TIDES = ((2, 0.012), (7, 0.03), (30, 0.08), (120, 0.15))


def _mix(key: int) -> int:
    """A well mixed 64-bit function of an integer (splitmix64)."""
    key = (key + 0x9E3779B97F4A7C15) & _MASK
    key = ((key ^ (key >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    key = ((key ^ (key >> 27)) * 0x94D049BB133111EB) & _MASK
    return key ^ (key >> 31)


class MadeUpBook(Book):
    """The endless market of one listing. The place of a row is its id - 1."""

    def __init__(self, listing: Listing, seed: int) -> None:
        super().__init__(listing.spec)
        self._listing = listing
        name = f"{seed}:{listing.spec.symbol}"
        self._salt = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
        self._delay_ms = 2 + self._salt % 6
        self._count = lru_cache(maxsize=4096)(self._make_count)
        self._shape = lru_cache(maxsize=4096)(self._make_shape)
        self._path = lru_cache(maxsize=32)(self._make_path)
        self._minute_rows = lru_cache(maxsize=256)(self._make_minute_rows)

    @property
    def first(self) -> int:
        return self._count(0)

    def place_at(self, time_ms: int) -> int:
        for begins, ends in self.halts:
            if begins < time_ms <= ends:
                time_ms = begins
        minute, offset = divmod(time_ms - LISTED_AT, MINUTE_MS)
        if minute < 0:
            return self.first
        start = self._count(minute)
        pieces = self._shape_of(minute).pieces
        return start + bisect_left(pieces, offset, key=attrgetter("offset_ms"))

    def place_due(self, time_ms: int) -> int:
        return self.place_at(time_ms - self._delay_ms + 1)

    def place_of(self, trade_id: int) -> int:
        return max(self.first, trade_id - 1)

    def due(self, place: int) -> int | None:
        return self._stored(place, place + 1)[0].event_time

    def minute(self, open_time: int) -> Bar:
        minute = (open_time - LISTED_AT) // MINUTE_MS
        if self._touches_halt(open_time):
            return super().minute(open_time)
        if minute < 0 or self._count(minute) == self._count(minute + 1):
            return Bar()
        if not self.spec.is_exact or self._touches_hole(minute):
            return super().minute(open_time)
        return self._bar_by_sums(minute)

    def _touches_hole(self, minute: int) -> bool:
        if not self.holes:
            return False
        ids = range(self._count(minute) + 1, self._count(minute + 1) + 1)
        return any(is_within(trade_id, self.holes) for trade_id in ids)

    def _touches_halt(self, open_time: int) -> bool:
        return any(begins < open_time + MINUTE_MS and open_time <= ends for begins, ends in self.halts)

    def _make_count(self, minute: int) -> int:
        """How many trades there were before the minute."""
        noise = _mix(self._salt + minute) % _NOISE
        return self._listing.rate * (minute * _NOISE + noise) // (1000 * _NOISE)

    def _minute_of(self, place: int) -> int:
        minute = max(0, place * 1000 // self._listing.rate)
        while self._count(minute) > place:
            minute -= 1
        while self._count(minute + 1) <= place:
            minute += 1
        return minute

    def _stored(self, start: int, stop: int) -> list[Row]:
        minute = self._minute_of(start)
        begins = self._count(minute)
        rows: list[Row] = []
        while begins < stop:
            block = self._minute_rows(minute)
            rows += block[max(0, start - begins) : stop - begins]
            begins += len(block)
            minute += 1
        return [self._postponed(row) for row in rows] if self.halts else rows

    def _postponed(self, row: Row) -> Row:
        """Ids have no jump where the exchange stood still: what was to be traded then is traded after it."""
        for begins, ends in self.halts:
            if begins <= row.trade_time < ends:
                return row._replace(trade_time=ends, event_time=ends + self._delay_ms)
        return row

    def _make_minute_rows(self, minute: int) -> list[Row]:
        tick, step = self.spec.tick, self.spec.step
        base, slope = self._line(minute)
        opens = LISTED_AT + minute * MINUTE_MS
        place = self._count(minute)
        fill = 2 * place + 1
        rows = []
        for piece in self._shape_of(minute).pieces:
            place += 1
            time = opens + piece.offset_ms
            rows.append(
                Row(
                    trade_id=place,
                    price=(base + slope * piece.stair + piece.ticks) * tick,
                    qty=piece.steps * step,
                    first_id=fill,
                    last_id=fill + piece.fills - 1,
                    trade_time=time,
                    event_time=time + self._delay_ms,
                    is_buyer_maker=piece.is_buyer_maker,
                )
            )
            fill += piece.fills
        return rows

    def _bar_by_sums(self, minute: int) -> Bar:
        """The minute's bar without its rows; equal to folding them, where quotes are exact."""
        bar = Bar()
        shape = self._shape_of(minute)
        tick = self.spec.tick
        base, slope = self._line(minute)
        first, last = shape.pieces[0], shape.pieces[-1]
        bar.open = (base + slope * first.stair + first.ticks) * tick
        bar.close = (base + slope * last.stair + last.ticks) * tick
        bar.high = (base + max(slope * stair + top for stair, _, top in shape.reach)) * tick
        bar.low = (base + min(slope * stair + bottom for stair, bottom, _ in shape.reach)) * tick
        bar.volume, bar.quote = self._amounts(shape.all, base, slope)
        bar.buy_volume, bar.buy_quote = self._amounts(shape.bought, base, slope)
        bar.trades = 2 * len(shape.pieces)
        bar.first_id = 2 * self._count(minute) + 1
        bar.last_id = bar.first_id + bar.trades - 1
        return bar

    def _amounts(self, sums: Sums, base: int, slope: int) -> tuple[int, int]:
        unit = self.spec.tick * self.spec.step // SCALE
        return sums.steps * self.spec.step, (base * sums.steps + slope * sums.stairs + sums.ticks) * unit

    def _shape_of(self, minute: int) -> Shape:
        rows = self._count(minute + 1) - self._count(minute)
        return self._shape(_mix(self._salt ^ (minute << 20)) % _VARIANTS, rows)

    def _make_shape(self, variant: int, rows: int) -> Shape:
        chance = random.Random(f"{self._salt}:{variant}:{rows}")
        return make_shape(self._listing, rows, chance)

    def _line(self, minute: int) -> tuple[int, int]:
        """The walk's price at the minute in ticks, and its rise per stair."""
        day, place = divmod(minute, _DAY_MINUTES)
        path = self._path(day)
        return path[place] * self._listing.grain, path[place + 1] - path[place]

    def _make_path(self, day: int) -> list[int]:
        """The walk through a day, in grains: from this day's level to the next one's."""
        chance = random.Random(f"{self._salt}:path:{day}")
        walk = [0.0]
        for _ in range(_DAY_MINUTES):
            walk.append(walk[-1] + chance.gauss(0.0, _MINUTE_SIGMA))
        start, end = self._level(day), self._level(day + 1)
        drift = (end - start - walk[-1]) / _DAY_MINUTES
        unit = self.spec.tick * self._listing.grain
        path = [max(20, round(math.exp(start + value + drift * place) / unit)) for place, value in enumerate(walk)]
        # The last one is the next day's first: floats alone could differ by a grain.
        path[-1] = max(20, round(math.exp(end) / unit))
        return path

    def _level(self, day: int) -> float:
        """The logarithm of the scaled price at the start of a day."""
        tides = sum(part * self._tide(day, period) for period, part in _TIDES)
        return math.log(self._listing.price) + tides

    def _tide(self, day: int, period: int) -> float:
        index, within = divmod(day, period)
        part = within / period
        smooth = part * part * (3 - 2 * part)
        here, there = (self._noise(period, index), self._noise(period, index + 1))
        return here + (there - here) * smooth

    def _noise(self, period: int, index: int) -> float:
        return _mix(self._salt ^ (period << 40) ^ (index << 8)) / (_MASK / 2) - 1.0


def made_up_books(seed: int, count: int | None = None, pace: float = 1.0) -> dict[str, Book]:
    """The made-up exchange's markets by symbol; ``count`` and ``pace`` as in ``listings``."""
    return {listing.spec.symbol: MadeUpBook(listing, seed) for listing in listings(count, pace)}
