"""Why the exchange did not answer a question, told apart by what the asker can do about it."""


class ExchangeError(Exception):
    """The exchange did not give what was asked for."""


class ExchangeAway(ExchangeError):
    """Not reachable, too slow, failing (5xx) or not speaking sense: ask again later, with back-off."""


class BadAnswer(ExchangeAway):
    """An answer came and cannot be read: ask again later, but other questions need not wait for it."""


class ExchangeBusy(ExchangeError):
    """The rate limit is used up (by this process or, 429 and 418, as the exchange says): wait ``retry_after_s``."""

    def __init__(self, retry_after_s: float, why: str = "") -> None:
        super().__init__(f"busy for {retry_after_s:.0f} s: {why}")
        self.retry_after_s = retry_after_s


class WeightSpent(ExchangeBusy):
    """The asker's own part of this minute's weight is used up: the exchange was not asked, others may go on."""


class RegionRefused(ExchangeError):
    """The exchange serves no one from here (403, 451): another address of the exchange may."""


class BadRequest(ExchangeError):
    """The question is wrong, e.g. an unknown symbol (code -1121): asking again does not help."""

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(f"{code}: {msg}")
        self.code = code
        self.msg = msg
