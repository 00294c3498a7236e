"""The hub of this process: made with the first connection, on the loop that serves it."""

import asyncio

from analytics.reading.tail import get_tail
from analytics.ws.config import SocketLimits
from analytics.ws.hub import Hub
from analytics.ws.reads import StoredReads
from ingestion.log import open_log

_hub: Hub | None = None
_making: asyncio.Lock | None = None


async def process_hub() -> Hub:
    """The hub of this process. A server on another loop (a test's) makes it anew."""
    global _hub, _making  # noqa: PLW0603 - the process has one hub
    loop = asyncio.get_running_loop()
    if _hub is not None and _hub.loop is loop:
        return _hub
    if _making is None or _hub is not None:
        _making, _hub = asyncio.Lock(), None
    async with _making:
        if _hub is None:
            _hub = await _make(loop)
        return _hub


async def _make(loop: asyncio.AbstractEventLoop) -> Hub:
    # In a thread: the tail waits until it has caught up.
    tail = await loop.run_in_executor(None, get_tail)
    log = open_log()
    hub = Hub(StoredReads(log, tail.view), tail.view, log.epoch, SocketLimits.from_settings())
    tail.listen(hub.on_batch)
    return hub
