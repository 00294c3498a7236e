"""What a minute of a made-up market looks like, apart from its price.

A shape holds the rows of a minute relative to the walk: when, which side, how much, how many ticks
off. The exchange has few shapes per count of rows and lays them over an endless walk, so that the bar
of a minute follows from sums made once: without this, one day's kline would cost 170,000 trades.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from ingestion.binance.simulator.listings import Listing
from markets.types import MINUTE_MS

_SWEEP_CHANCE = 0.18
_BURST_CHANCE = 0.35
_BURST_MS = 500


@dataclass(frozen=True, slots=True)
class Piece:
    """One row of a shape: ``stair`` is its part of the way to the next minute's price."""

    offset_ms: int
    is_buyer_maker: bool
    stair: int
    ticks: int
    steps: int
    fills: int


@dataclass(frozen=True, slots=True)
class Sums:
    """Sum of quantity, of quantity x stair and of quantity x ticks."""

    steps: int
    stairs: int
    ticks: int


@dataclass(frozen=True, slots=True)
class Shape:
    """A minute's rows and what its bar needs. ``reach``: (stair, lowest ticks, highest ticks)."""

    pieces: tuple[Piece, ...]
    all: Sums
    bought: Sums
    reach: tuple[tuple[int, int, int], ...]


def make_shape(listing: Listing, rows: int, chance: random.Random) -> Shape:
    """A shape of ``rows`` rows and exactly twice as many fills, drawn from ``chance``."""
    pieces = tuple(_pieces(listing, rows, chance))
    return Shape(
        pieces=pieces,
        all=_sums(pieces),
        bought=_sums([piece for piece in pieces if not piece.is_buyer_maker]),
        reach=_reach(pieces),
    )


def _pieces(listing: Listing, rows: int, chance: random.Random) -> Iterator[Piece]:
    fills = _fills(rows, chance)
    sweeps = _sweeps(rows, chance)
    place, ticks, sells = 0, 0, False
    for offset, size in zip(_times(len(sweeps), chance), sweeps, strict=True):
        sells = sells if chance.random() < 0.6 else chance.random() < 0.5
        ticks = _stray(ticks, listing.wobble, chance)
        for deep in range(size):
            count = fills[place]
            yield Piece(
                offset_ms=offset,
                is_buyer_maker=sells,
                stair=offset * listing.grain // MINUTE_MS,
                ticks=ticks - deep if sells else ticks + deep + 1,
                steps=count + int(listing.quantity * chance.expovariate(1.0) ** 2 / 2),
                fills=count,
            )
            place += 1


def _stray(ticks: int, wobble: int, chance: random.Random) -> int:
    return int(ticks * 0.9 + chance.gauss(0.0, 0.4) * wobble)


def _fills(rows: int, chance: random.Random) -> list[int]:
    """One fill each, and as many again on a few of them."""
    fills = [1] * rows
    for _ in range(rows):
        fills[int(rows * chance.random() ** 2.5)] += 1
    chance.shuffle(fills)
    return fills


def _sweeps(rows: int, chance: random.Random) -> list[int]:
    """How many rows one taker order makes: mostly one, at times a run of price levels."""
    sizes = []
    while rows:
        size = min(rows, chance.randint(2, 6) if chance.random() < _SWEEP_CHANCE else 1)
        sizes.append(size)
        rows -= size
    return sizes


def _times(count: int, chance: random.Random) -> list[int]:
    bursts = [chance.randrange(MINUTE_MS) for _ in range(chance.randint(1, 3))]
    return sorted(_time(bursts, chance) for _ in range(count))


def _time(bursts: list[int], chance: random.Random) -> int:
    if chance.random() < _BURST_CHANCE:
        offset = int(chance.choice(bursts) + chance.expovariate(1 / _BURST_MS))
        return min(offset, MINUTE_MS - 1)
    return chance.randrange(MINUTE_MS)


def _sums(pieces: tuple[Piece, ...] | list[Piece]) -> Sums:
    return Sums(
        steps=sum(piece.steps for piece in pieces),
        stairs=sum(piece.steps * piece.stair for piece in pieces),
        ticks=sum(piece.steps * piece.ticks for piece in pieces),
    )


def _reach(pieces: tuple[Piece, ...]) -> tuple[tuple[int, int, int], ...]:
    by_stair: dict[int, list[int]] = {}
    for piece in pieces:
        by_stair.setdefault(piece.stair, []).append(piece.ticks)
    return tuple((stair, min(ticks), max(ticks)) for stair, ticks in by_stair.items())
