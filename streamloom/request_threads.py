"""HTTP requests on a few threads that stay, instead of a new thread for each request.

Django asks asgiref for a thread of its own per request and throws it away. What is kept per thread (the client of
ClickHouse, which takes longer to open than most questions take to answer) would be made anew each time.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from weakref import WeakKeyDictionary

from asgiref.sync import ThreadSensitiveContext

# More do not help: Python runs one at a time, and the engine has the cores.
MOST_THREADS: Final = 8

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Free = asyncio.LifoQueue[ThreadPoolExecutor]


class RequestThreads:
    """Wraps an ASGI application: each request has one of ``most`` threads to itself; those beyond wait their turn."""

    def __init__(self, application: Application, most: int = MOST_THREADS) -> None:
        self._application = application
        self._most = most
        # A queue serves one loop only, and a process may run one server after another.
        self._free_of: WeakKeyDictionary[asyncio.AbstractEventLoop, Free] = WeakKeyDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        free = self._free_threads()
        thread = await free.get()
        try:
            async with ThreadSensitiveContext(executor=thread):
                await self._application(scope, receive, send)
        finally:
            free.put_nowait(thread)

    def _free_threads(self) -> Free:
        loop = asyncio.get_running_loop()
        free = self._free_of.get(loop)
        if free is None:
            # The thread that came back last is taken first: a quiet server stays with one, and so with one client.
            free = self._free_of[loop] = asyncio.LifoQueue()
            for number in range(self._most):
                free.put_nowait(ThreadPoolExecutor(1, thread_name_prefix=f"request-{number}"))
        return free
