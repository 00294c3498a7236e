"""What the exchange's contract leaves open, as choices of one server."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quirks:
    """What this exchange does where the contract leaves it open.

    ``klines``: ticks (each 2 s), trades (only with trades), closed (only closed ones), late (closed ones 10 s late),
    early (before the minute's last trades), none. ``clock`` of /time: replay, machine, still. ``rest``: all
    (the recording's end is known), clock, lag (30 s behind). ``end``: silent, close, restart. ``speed`` 0: as fast as
    it is read. ``aligned`` (speed 0): the symbols' recordings are of different days and run beside each other.
    """

    speed: float = 0.0
    starts: str = "subscription"
    skip_ms: int = 0
    paths: tuple[str, ...] = ("ws", "stream")
    late_reply: int = 0
    string_ids: bool = False
    klines: str = "ticks"
    empty_klines: bool = True
    tail_ms: int = 0
    clock: str = "replay"
    rest: str = "clock"
    info: str = "plain"
    end: str = "silent"
    gzip: bool = False
    http: str = "1.1"
    slow_s: float = 0.0
    deflate: bool = False
    extra: bool = False
    micros: bool = False
    reordered_wrapper: bool = False
    aligned: bool = False
