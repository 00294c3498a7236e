"""How fast one client may ask. Pure: the time is an argument."""


class Pace:
    """A bucket of ``burst`` requests that fills by ``per_s`` a second."""

    def __init__(self, burst: int, per_s: float, now: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._left, self._at = float(burst), now

    def wait(self, now: float) -> float:
        """Take one request; the seconds to wait before it is served.

        >>> pace = Pace(burst=1, per_s=2.0, now=0.0)
        >>> pace.wait(0.0), pace.wait(0.0)
        (0.0, 0.5)
        """
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s) - 1
        self._at = now
        return max(-self._left / self._per_s, 0.0)
