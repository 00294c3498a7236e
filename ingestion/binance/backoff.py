"""How long to wait: before the next attempt to connect, and before the next control message.

Pure: the time and the chance are arguments, so the policies are tested without a socket or a sleep.
"""

import random
from collections import deque
from dataclasses import dataclass, field

# The exchange bans an address after 300 attempts in 5 minutes; some are left to others behind it.
MAX_ATTEMPTS = 250
ATTEMPT_WINDOW_S = 300.0
# The exchange cuts a connection that sends more than 5 messages a second, pongs included.
CONTROL_MESSAGES_PER_S = 3


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that grow by ``factor`` up to ``cap_s``, each spread over its upper half.

    The spread keeps many connections that fell together from coming back together.
    """

    first_s: float = 0.5
    factor: float = 2.0
    cap_s: float = 60.0

    def delay_s(self, failures: int, rng: random.Random) -> float:
        """Seconds before the next attempt after ``failures`` failures in a row (0: at once).

        >>> Backoff().delay_s(0, random.Random(1))
        0.0
        """
        if failures <= 0:
            return 0.0
        # The exponent is bounded because 2.0 ** 2000 overflows on a server that stays away for a day.
        longest = min(self.cap_s, self.first_s * self.factor ** min(failures - 1, 60))
        return longest * rng.uniform(0.5, 1.0)


@dataclass(slots=True)
class Budget:
    """At most ``limit`` events in any ``window_s`` seconds: a sliding window."""

    limit: int
    window_s: float
    _spent: deque[float] = field(default_factory=deque)

    def wait_s(self, now: float) -> float:
        """Seconds from ``now`` until one more event is allowed; 0.0 when it is allowed now."""
        while self._spent and self._spent[0] + self.window_s <= now:
            self._spent.popleft()
        if len(self._spent) < self.limit:
            return 0.0
        return self._spent[0] + self.window_s - now

    def spend(self, now: float) -> None:
        """Note one event at ``now``."""
        self._spent.append(now)


def attempt_budget() -> Budget:
    """The attempts to connect that all connections of this process share."""
    return Budget(MAX_ATTEMPTS, ATTEMPT_WINDOW_S)


def control_budget() -> Budget:
    """The control messages of one connection."""
    return Budget(CONTROL_MESSAGES_PER_S, 1.0)
