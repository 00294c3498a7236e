"""What a connection needs before its first kline frame: the newest trade by REST, so that a loss shows at once.

While we were away trades may have been lost, and in a quiet market the next one, whose id would show it, may be
minutes off. The newest row shows it by id. It is asked for again after a minute, because REST lags behind the stream.
"""

import asyncio
import time
from dataclasses import dataclass

from ingestion.ingest.exchange import TOLERANCE_MS, Exchange, ServerTime
from ingestion.ingest.intake import Gate, StreamSession
from ingestion.log.codec import to_record
from ingestion.pipeline.records import Reason, Trade

AGAIN_AFTER_S = 60.0
# A trade reaches the stream within milliseconds; one second more keeps the row from overtaking it.
STREAM_DELAY_MS = 1_000
QUIET_S = 5.0
_LOOK_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class NewestRow:
    """Logs the newest row for a gate, then opens it."""

    exchange: Exchange
    server_time: ServerTime
    again_after_s: float = AGAIN_AFTER_S
    quiet_s: float = QUIET_S

    async def anchor(self, session: StreamSession, gate: Gate, started: asyncio.Event) -> None:
        """Log the row now and once more later, but nothing before ``started``: the symbol's ``want`` is in the log."""
        await started.wait()
        for wait_s in (0.0, self.again_after_s):
            await asyncio.sleep(wait_s)
            row = await self.exchange.newest(gate.symbol)
            if row is not None:
                await self._log_row(session, gate, row)
            gate.open()

    async def _log_row(self, session: StreamSession, gate: Gate, row: Trade) -> None:
        reached = session.clock() or 0
        if row.trade_time > reached + TOLERANCE_MS and not await self.server_time.allows(row.trade_time):
            frame = to_record(row).value
            session.reject(Reason.FUTURE_TIME, "the newest row is ahead of the exchange's clock", frame, row.symbol)
            return
        await self._read_up_to(session, gate, row.trade_time + STREAM_DELAY_MS)
        gate.take_row(row)

    async def _read_up_to(self, session: StreamSession, gate: Gate, moment: int) -> None:
        """Wait until the stream has come as far as the row, or has nothing more to say.

        Against a replay at reading speed the row may be hours ahead of the frames that wait in our socket: logged
        at once it would open a gap of all of them, and every one would arrive late. In a live market this takes a
        second or two. Symbols may be replayed from different days, so another one's time says nothing of this one
        while this one's frames come.
        """
        connection, symbol_since = session.connection, time.monotonic()
        frames, moved_at, reached = -1, symbol_since, gate.clock
        while True:
            now = time.monotonic()
            if gate.clock != reached or connection.is_held_up:
                reached, symbol_since = gate.clock, now
            if connection.frames != frames or connection.is_held_up:
                frames, moved_at = connection.frames, now
            is_symbol_there = reached >= moment or now - symbol_since >= self.quiet_s
            is_stream_there = (session.clock() or 0) >= moment
            if (is_symbol_there and is_stream_there) or now - moved_at >= self.quiet_s:
                return
            await asyncio.sleep(_LOOK_EVERY_S)
