"""How much a client may ask: weights per minute, 429 when they are spent, 418 for those who go on."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from ingestion.binance.simulator.parameters import ApiError

_MINUTE_S = 60
# So many refusals in a row until the address is banned.
_PATIENCE = 20
_FIRST_BAN_S = 120


@dataclass(slots=True)
class _Account:
    minute: int = -1
    used: int = 0
    refused: int = 0
    bans: int = 0
    banned_until: float = 0.0


class Weights:
    """Counts by address and wall-clock minute. ``wall``: seconds since the epoch."""

    def __init__(self, limit: int, wall: Callable[[], float]) -> None:
        self.limit = limit
        self._wall = wall
        self._lock = threading.Lock()
        self._accounts: dict[str, _Account] = {}
        self._forced: tuple[int, float, int] | None = None

    def force(self, status: int, for_s: float, retry_after_s: int) -> None:
        """Refuse everything with 429 or 418 for that long."""
        if status not in (429, 418):
            raise ValueError(f"status must be 429 or 418, not {status}")
        self._forced = (status, self._wall() + for_s, retry_after_s)

    def spend(self, address: str, weight: int) -> int:
        """Take the weight; what is used of this minute. Raises ApiError 429 or 418."""
        with self._lock:
            self._refuse_if_forced(address)
            return self._charge(address, weight)

    def _charge(self, address: str, weight: int) -> int:
        account = self._accounts.setdefault(address, _Account())
        now = self._wall()
        if now < account.banned_until:
            raise _banned(account.banned_until, now)
        if account.minute != int(now) // _MINUTE_S:
            account.minute, account.used, account.refused = int(now) // _MINUTE_S, 0, 0
        if account.used + weight > self.limit:
            self._refuse(account, now)
        account.used += weight
        return account.used

    def _refuse(self, account: _Account, now: float) -> None:
        account.refused += 1
        if account.refused > _PATIENCE:
            account.bans += 1
            account.banned_until = now + _FIRST_BAN_S * 2 ** (account.bans - 1)
            raise _banned(account.banned_until, now)
        raise _too_much(self.limit, math.ceil(_MINUTE_S - now % _MINUTE_S), account.used)

    def _refuse_if_forced(self, address: str) -> None:
        if self._forced is None:
            return
        status, until, retry_after_s = self._forced
        if self._wall() >= until:
            self._forced = None
        elif status == 418:
            raise _banned(until, until - retry_after_s)
        else:
            # What was really used: a client that is told of a spent minute rests for all of it, not for what was asked.
            raise _too_much(self.limit, retry_after_s, self._accounts.setdefault(address, _Account()).used)


def _too_much(limit: int, retry_after_s: int, used: int) -> ApiError:
    msg = (
        f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )
    headers = {"Retry-After": str(retry_after_s), "X-MBX-USED-WEIGHT-1M": str(used)}
    return ApiError(-1003, msg, status=429, headers=headers)


def _banned(until: float, now: float) -> ApiError:
    msg = (
        f"Way too much request weight used; IP banned until {int(until * 1000)}. "
        "Please use WebSocket Streams for live updates to avoid bans."
    )
    return ApiError(-1003, msg, status=418, headers={"Retry-After": str(math.ceil(until - now))})
