"""What one connection still has to be sent: bounded, and conflating where only the newest counts."""

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Final

from analytics.ws.messages import Message

TOO_SLOW: Final = 4008


class Outbox:
    """The messages that wait for one client.

    Those without a key are kept in order, every one of them, up to ``most_messages`` and ``most_chars``: one more,
    and the outbox closes for good (``close_code`` 4008), because a client that misses one must know. Of those with
    a key only the newest of each waits. What must arrive goes first, so that no cursor runs ahead of it.
    """

    def __init__(self, most_messages: int = 10_000, most_chars: int = 8_000_000) -> None:
        self.close_code: int | None = None
        self._most_messages = most_messages
        self._most_chars = most_chars
        self._always: deque[str] = deque()
        self._latest: dict[Hashable, str] = {}
        self._chars = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    def __len__(self) -> int:
        return len(self._always) + len(self._latest)

    @property
    def chars(self) -> int:
        """The length of all that waits."""
        return self._chars

    def put(self, message: Message) -> None:
        """Take a message, or close when it finds no room. Never waits; nothing is taken once closed."""
        if self.close_code is not None:
            return
        self._forget(message.clears)
        self._forget(message.key)
        if message.key is None:
            self._always.append(message.text)
        else:
            self._latest[message.key] = message.text
        self._chars += len(message.text)
        if len(self) > self._most_messages or self._chars > self._most_chars:
            self.close(TOO_SLOW)
        self._news.set()

    def _forget(self, key: Hashable | None) -> None:
        if key is not None:
            self._chars -= len(self._latest.pop(key, ""))

    def pop(self) -> str | None:
        """The next text to send; None when nothing waits."""
        if self._always:
            text = self._always.popleft()
        elif self._latest:
            text = self._latest.pop(next(iter(self._latest)))
        else:
            return None
        self._chars -= len(text)
        self._room.set()
        return text

    def close(self, code: int) -> None:
        """Let go of everything; whoever waits wakes up and finds ``close_code``."""
        if self.close_code is None:
            self.close_code = code
        self._always.clear()
        self._latest.clear()
        self._chars = 0
        self._news.set()
        self._room.set()

    async def next(self) -> str | None:
        """The next text to send, when there is one; None once closed."""
        while self.close_code is None:
            text = self.pop()
            if text is not None:
                return text
            self._news.clear()
            await self._news.wait()
        return None

    async def has_room(self) -> bool:
        """True when at most half is taken (a replay goes no faster than its client); False once closed."""
        while self.close_code is None:
            if len(self) * 2 <= self._most_messages and self._chars * 2 <= self._most_chars:
                return True
            self._room.clear()
            await self._room.wait()
        return False
