"""What repair knows of one symbol: ids to ask for, ids that REST skipped, and an end that is behind.

Pure: the machine's time (epoch seconds, because it must mean the same after a restart) is an argument.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from ingestion.binance.backoff import Backoff
from ingestion.pipeline.records import Cause, CoverageEvent, CoverageKind
from ingestion.repair.runs import Range, cut_out, insert, overlapping, without

_VERSION: Final = 1
# Gaps that no late frame will close: asking may begin at once.
_NO_WAIT: Final = (Cause.START, Cause.BACKFILL)
# How far below a gap to look when the row just below it does not come back.
PROBE_IDS: Final = 100


@dataclass(frozen=True)
class Policy:
    """When to ask. ``first_wait_s``: most new gaps are frames out of order and close by themselves.

    ``archive_wait_s``: a gap that is filled from the archive is left to it until so long after its last progress.
    ``confirm_s``: the waits before each confirmation of a hole; as many confirmations as waits.
    """

    first_wait_s: float = 1.0
    archive_wait_s: float = 60.0
    confirm_s: tuple[float, ...] = (60.0, 600.0, 3600.0)
    lag: Backoff = Backoff(first_s=1.0, cap_s=30.0)
    rng: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        if not self.confirm_s:
            raise ValueError("REPAIR_CONFIRM_S is empty: a hole needs at least one confirmation")


class Missing(msgspec.Struct, array_like=True):
    """Ids to ask for. ``time``: the newest go first; ``served``: the turn they were last asked for in.

    ``probing``: the row just below did not come back, so ask from further below. ``beyond``: REST does not
    reach down to these ids; they are left to the archive. ``told``: what readers were told came of asking.
    """

    from_id: int
    to_id: int
    time: int
    cause: str
    due_s: float
    failures: int = 0
    served: int = 0
    probing: bool = False
    beyond: bool = False
    told: str | None = None

    @property
    def ask_from(self) -> int:
        return max(0, self.from_id - 1 - (PROBE_IDS if self.probing else 0))


class Suspect(msgspec.Struct, array_like=True):
    """Ids that REST skipped between two rows: ``seen`` times over after the first. ``below``: the row below."""

    from_id: int
    to_id: int
    time: int
    cause: str
    due_s: float
    below: int
    seen: int = 0
    failures: int = 0
    served: int = 0
    told: str | None = None

    @property
    def ask_from(self) -> int:
        return self.below


class Tail(msgspec.Struct, array_like=True):
    """The end of what is held is behind the exchange: page from ``from_id`` until the trades reach ``time``."""

    from_id: int
    time: int
    due_s: float
    cause: str = "tail_behind"
    failures: int = 0
    served: int = 0

    @property
    def ask_from(self) -> int:
        return max(0, self.from_id - 1)


Target = Missing | Suspect | Tail


class SymbolWork(msgspec.Struct):
    """One symbol's work. ``missing`` and ``suspects`` are ascending, and no id is in both. ``clock``: the feed's."""

    symbol: str
    clock: int = 0
    missing: list[Missing] = []
    suspects: list[Suspect] = []
    tail: Tail | None = None

    def targets(self) -> Iterator[Target]:
        """Everything that may be asked for."""
        yield from self.missing
        yield from self.suspects
        if self.tail is not None:
            yield self.tail

    def take_event(self, event: CoverageEvent, now_s: float, policy: Policy) -> bool:
        """Follow what the processor says of this symbol; True when that changed the work."""
        self.clock = max(self.clock, event.known_at)
        match event.kind:
            case CoverageKind.GAP_OPENED:
                return self._open(event, now_s, policy)
            case CoverageKind.GAP_CLOSED | CoverageKind.HOLE:
                return self._settle(*_range(event), now_s, policy)
            case CoverageKind.TAIL_BEHIND:
                return self._follow_tail(event, now_s, policy)
            case CoverageKind.SEGMENT_CLOSED:
                # What comes after the end is not wanted; the gaps before it still are.
                had_tail, self.tail = self.tail is not None, None
                return had_tail
        return False

    def _open(self, event: CoverageEvent, now_s: float, policy: Policy) -> bool:
        """Ids that are known already keep their progress: gaps are told more than once."""
        from_id, to_id = _range(event)
        known = [
            (run.from_id, run.to_id)
            for runs in (self.missing, self.suspects)
            for run in runs[overlapping(runs, from_id, to_id)]
        ]
        due_s = now_s + _first_wait_s(event.cause, policy)
        fresh = without(from_id, to_id, known)
        for part in fresh:
            insert(self.missing, Missing(*part, event.to_time or event.known_at, event.cause, due_s))
        return bool(fresh)

    def _settle(self, from_id: int, to_id: int, now_s: float, policy: Policy) -> bool:
        """What was found here was taken out when its page came: somebody else has brought these."""
        place = overlapping(self.missing, from_id, to_id)
        if any(run.cause == Cause.ARCHIVE for run in self.missing[place]):
            self._leave_to_archive(now_s + policy.archive_wait_s)
        filled = cut_out(self.missing, from_id, to_id)
        return cut_out(self.suspects, from_id, to_id) or filled

    def _leave_to_archive(self, until_s: float) -> None:
        for run in self.missing:
            if run.cause == Cause.ARCHIVE:
                run.due_s = max(run.due_s, until_s)

    def _follow_tail(self, event: CoverageEvent, now_s: float, policy: Policy) -> bool:
        if event.from_id is None:
            return False
        self.tail = Tail(event.from_id, event.known_at, now_s + policy.first_wait_s)
        return True

    def postpone(self, target: Target, now_s: float, policy: Policy) -> None:
        """The target's question brought nothing: ask again later, with growing waits."""
        target.failures += 1
        target.due_s = now_s + policy.lag.delay_s(target.failures, policy.rng)


def _first_wait_s(cause: str, policy: Policy) -> float:
    if cause == Cause.ARCHIVE:
        return policy.archive_wait_s
    return 0.0 if cause in _NO_WAIT else policy.first_wait_s


def _range(event: CoverageEvent) -> Range:
    if event.from_id is None or event.to_id is None:
        raise ValueError(f"a {event.kind} without its ids")
    return event.from_id, event.to_id


class StateUnreadable(ValueError):
    """The state was written by another version: going on would mean to start over in silence."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, SymbolWork])


def dump(work: SymbolWork) -> bytes:
    """The state as bytes, for the log."""
    return _encoder.encode((_VERSION, work))


def load(data: bytes, now_s: float, policy: Policy) -> SymbolWork:
    """The state from the log. Raises StateUnreadable."""
    try:
        version, work = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise StateUnreadable(f"repair state: {error}") from error
    if version != _VERSION:
        raise StateUnreadable(f"repair state of version {version}, this program reads {_VERSION}")
    # A machine clock that was wrong when the state was written must not put a gap off for ever.
    latest_s = now_s + max(*policy.confirm_s, policy.lag.cap_s, policy.archive_wait_s)
    for target in work.targets():
        target.due_s = min(target.due_s, latest_s)
        target.served = 0
    return work
