"""How much may be asked of the exchange this minute. Pure but for the lock: time is an argument."""

import threading

WEIGHT_PER_MINUTE = 6_000
_WINDOW_S = 60


class WeightBudget:
    """The request weight of one address. The window starts on the wall-clock minute, as the exchange's does.

    The exchange tells after each answer how much of the window is used, by whomever: that is believed.
    """

    def __init__(self, limit: int = WEIGHT_PER_MINUTE, share: float = 0.9) -> None:
        self._guard = threading.Lock()
        self._limit = limit
        self._share = share
        self._window = 0
        self._used = 0
        self._rest_until = 0.0

    def spend(self, weight: int, now_s: float) -> float:
        """Take ``weight``, or the seconds to wait (then nothing is taken); 0.0 when it was taken.

        >>> budget = WeightBudget(limit=10, share=1.0)
        >>> budget.spend(8, 30.0), budget.spend(4, 31.0), budget.spend(4, 60.0)
        (0.0, 29.0, 0.0)
        """
        with self._guard:
            if now_s < self._rest_until:
                return self._rest_until - now_s
            self._enter(now_s)
            if self._used + weight > self._limit * self._share:
                return (self._window + 1) * _WINDOW_S - now_s
            self._used += weight
            return 0.0

    def learn(self, used: int | None, now_s: float) -> None:
        """Believe the exchange's own count of this minute, when it gave one."""
        with self._guard:
            self._enter(now_s)
            if used is not None:
                self._used = used

    def rest(self, until_s: float) -> None:
        """Ask nothing before ``until_s``: the exchange said so, and bans who does not listen."""
        with self._guard:
            self._rest_until = max(self._rest_until, until_s)

    def set_limit(self, limit: int) -> None:
        """The exchange's limit per minute, from ``exchangeInfo``."""
        with self._guard:
            self._limit = limit

    def _enter(self, now_s: float) -> None:
        window = int(now_s // _WINDOW_S)
        if window != self._window:
            self._window, self._used = window, 0
