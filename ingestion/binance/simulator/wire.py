"""Many frames for the price of one: a uvicorn WebSocket protocol that takes them framed.

A send through ASGI costs a dozen calls and a system call per frame. The exchange frames a batch itself and
writes it at once, which makes a replay several times as fast; the rest is uvicorn's own. The
protocol also sees pings and pongs, which the exchange counts as messages, and can cut a connection.

Marks: the kernel takes tens of megabytes for a reader, a whole day of a small market. When the reader is to set the
pace, each batch ends in a ping of ours, and few may be unanswered: the pong says that the reader got there.
"""

import asyncio
import time
from collections import deque

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

EXTENSION = "streamloom.wire"
MESSAGES_A_SECOND = 5
# Less than a second, so that a client that keeps to exactly five is not cut for a jitter of the clock.
_WINDOW_S = 0.9
_TOO_MANY = 1008
_MARK = b"mark"
# So many batches are on their way to a reader who sets the pace.
_OPEN_MARKS = 4
# A client that has not answered its first marks by then never will: it is paced by its buffers alone.
_MARK_PATIENCE_S = 2.0
# A reader so far behind in a market that waits for nobody is cut off.
_HOPELESS_BYTES = 8 * 1024 * 1024


def frame(payload: str) -> bytes:
    """The payload as one unmasked text frame."""
    data = payload.encode()
    size = len(data)
    if size < 126:
        return b"\x81" + size.to_bytes(1, "big") + data
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + data
    return b"\x81\x7f" + size.to_bytes(8, "big") + data


class Wire(WebSocketsSansIOProtocol):
    """One connection. The app finds it in the scope's extensions under ``EXTENSION``."""

    def handle_connect(self, event: object) -> None:
        self._arrivals: deque[float] = deque(maxlen=MESSAGES_A_SECOND + 1)
        self._open_marks = 0
        self._answers_marks: bool | None = None
        self._answered = asyncio.Event()
        super().handle_connect(event)  # type: ignore[arg-type]
        if self.response.status_code == 101:
            self.scope["extensions"][EXTENSION] = {"wire": self}

    def handle_text(self, event: Frame) -> None:
        if self._is_welcome():
            super().handle_text(event)

    def handle_ping(self) -> None:
        if self._is_welcome():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        if bytes(event.data) == _MARK:
            self._open_marks -= 1
            self._answers_marks = True
            self._answered.set()
        elif self._is_welcome():
            super().handle_pong(event)

    def _is_welcome(self) -> bool:
        now = time.monotonic()
        self._arrivals.append(now)
        if len(self._arrivals) <= MESSAGES_A_SECOND or now - self._arrivals[0] > _WINDOW_S:
            return True
        self.close(_TOO_MANY, "Too many requests")
        return False

    @property
    def is_open(self) -> bool:
        return self.handshake_complete and not (self.close_sent or self.disconnected or self.transport.is_closing())

    def write(self, frames: list[bytes]) -> None:
        """Queue framed messages; nothing when the connection is closing."""
        if self.is_open:
            self.transport.write(b"".join(frames))

    @property
    def is_hopeless(self) -> bool:
        """True when its reader is megabytes behind."""
        return self.is_open and self.transport.get_write_buffer_size() > _HOPELESS_BYTES

    def mark(self) -> None:
        """Ask for a sign when the reader has come this far."""
        if self.is_open and self._answers_marks is not False:
            self._open_marks += 1
            self.conn.send_ping(_MARK)
            self.transport.write(b"".join(self.conn.data_to_send()))

    async def drain(self) -> None:
        """Wait until the reader has taken most of what was written and marked, or is gone."""
        await self.writable.wait()
        while self.is_open and self._answers_marks is not False and self._open_marks >= _OPEN_MARKS:
            self._answered.clear()
            try:
                async with asyncio.timeout(_MARK_PATIENCE_S):
                    await self._answered.wait()
            except TimeoutError:
                # One that did answer before is only slow, and is waited for.
                self._answers_marks = self._answers_marks or False

    def cut(self) -> None:
        """End the connection without a word."""
        self.transport.abort()

    def close(self, code: int, reason: str) -> None:
        """End the connection with a close frame."""
        if not self.is_open:
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        # Not close(): that would wait for a reader who has stopped reading.
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        # What is queued for a reader who is gone would hold the connection, and with it the replay.
        self.transport.abort()
