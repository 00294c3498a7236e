"""The limits of the sockets, read once from the settings."""

from dataclasses import dataclass
from typing import Self

from django.conf import settings


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What one process and one client may use. Times in seconds."""

    connections: int = 2_000
    subscriptions: int = 200
    outbox_messages: int = 10_000
    outbox_chars: int = 8_000_000
    send_timeout_s: float = 5.0
    tick_s: float = 5.0
    forming_s: float = 0.1
    # Inbound: a burst (a page of subscriptions at once), then so many a second; the rest waits in the socket.
    inbound_burst: int = 250
    inbound_per_s: float = 20.0
    replay_records: int = 100_000

    def __post_init__(self) -> None:
        if min(self.connections, self.subscriptions, self.outbox_messages, self.inbound_burst) < 1:
            raise ValueError("limits of the sockets must be at least 1")

    @classmethod
    def from_settings(cls) -> Self:
        """``STREAMLOOM_SOCKETS`` in the settings may override any of them."""
        return cls(**getattr(settings, "STREAMLOOM_SOCKETS", {}))
