"""Which indicators there are: TA-Lib's functions by name, with the warm-up that makes their values exact. Pure.

Warm-up: measured against TA-Lib over the whole history, 10 periods of an exponential and 20 of Wilder's smoothing
leave a difference below what anybody reads (1e-10 and 2.5e-7 of the value; 5e-12 for an EMA over 200).
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.float64]

# Of exponential smoothing, and of Wilder's, in periods.
EMA_PERIODS: Final = 10
WILDER_PERIODS: Final = 20
PERIOD_LEAST: Final = 2
PERIOD_MOST: Final = 500


@dataclass(frozen=True)
class Bars:
    """Consecutive bars, oldest first: columns of one length. ``open_time``: epoch ms."""

    open_time: npt.NDArray[np.int64]
    high: Column
    low: Column
    close: Column
    volume: Column

    def __len__(self) -> int:
        return len(self.open_time)

    def part(self, start: int, stop: int) -> "Bars":
        """The bars at the places ``[start, stop)``."""
        where = slice(start, stop)
        return Bars(self.open_time[where], self.high[where], self.low[where], self.close[where], self.volume[where])


Run = Callable[..., Any]


class _Library:
    """TA-Lib, imported when it is first asked: it loads pandas, which takes seconds and is not for before a fork."""

    def __getattr__(self, name: str) -> Run:
        function: Run = getattr(importlib.import_module("talib"), name)
        return function


talib = _Library()
# talib.MA_Type.SMA
_SMA: Final = 0


@dataclass(frozen=True)
class Kind:
    """A function. ``columns``: of its answer; ``defaults``: its periods when none are asked for.

    ``warm_up``: the bars before a value that it needs; ``is_anchored``: it sums up from its first bar.
    """

    name: str
    columns: tuple[str, ...]
    defaults: tuple[int, ...]
    warm_up: Callable[..., int]
    run: Run
    does: str
    is_anchored: bool = False


@dataclass(frozen=True)
class Indicator:
    """A kind with its periods."""

    kind: Kind
    periods: tuple[int, ...]

    @property
    def warm_up(self) -> int:
        return self.kind.warm_up(*self.periods)

    @property
    def names(self) -> tuple[str, ...]:
        """What its columns are called: sma_20; macd for the usual periods, macd_5_35_5 for others.

        >>> read_indicator("sma:20").names, read_indicator("macd").names
        (('sma_20',), ('macd', 'macd_signal', 'macd_hist'))
        """
        is_usual = len(self.kind.columns) > 1 and self.periods == self.kind.defaults
        suffix = "" if is_usual else "".join(f"_{period}" for period in self.periods)
        return tuple(column + suffix for column in self.kind.columns)

    def values(self, bars: Bars) -> tuple[Column, ...]:
        """One column for each name, as long as the bars; NaN where there is no value."""
        answer = self.kind.run(bars, *self.periods)
        return answer if isinstance(answer, tuple) else (answer,)


class UnknownIndicator(ValueError):
    """The text names no indicator, or periods that it does not take; the message says what is allowed."""


def _wilder(period: int) -> int:
    return WILDER_PERIODS * period


def _window(period: int) -> int:
    return period


# fmt: off
_KINDS: Final = (
    Kind("sma", ("sma",), (20,), _window, lambda b, n: talib.SMA(b.close, n), "simple moving average of the close"),
    Kind("ema", ("ema",), (20,), lambda n: EMA_PERIODS * n, lambda b, n: talib.EMA(b.close, n),
         "exponential moving average of the close"),
    Kind("rsi", ("rsi",), (14,), _wilder, lambda b, n: talib.RSI(b.close, n), "relative strength index (Wilder)"),
    Kind("macd", ("macd", "macd_signal", "macd_hist"), (12, 26, 9),
         lambda fast, slow, signal: EMA_PERIODS * (max(fast, slow) + signal),
         lambda b, fast, slow, signal: talib.MACD(b.close, fast, slow, signal),
         "difference of two exponential averages, its signal line, and the difference of both"),
    Kind("bb", ("bb_upper", "bb_middle", "bb_lower"), (20,), _window, lambda b, n: talib.BBANDS(b.close, n, 2.0, 2.0),
         "Bollinger bands, two standard deviations"),
    Kind("atr", ("atr",), (14,), _wilder, lambda b, n: talib.ATR(b.high, b.low, b.close, n),
         "average true range (Wilder)"),
    Kind("natr", ("natr",), (14,), _wilder, lambda b, n: talib.NATR(b.high, b.low, b.close, n),
         "average true range in per cent of the close"),
    Kind("adx", ("adx",), (14,), lambda n: 2 * WILDER_PERIODS * n, lambda b, n: talib.ADX(b.high, b.low, b.close, n),
         "average directional index (Wilder, smoothed twice)"),
    Kind("stoch", ("stoch_k", "stoch_d"), (14, 3, 3), lambda fast, slow, signal: fast + slow + signal,
         lambda b, fast, slow, signal: talib.STOCH(b.high, b.low, b.close, fast, slow, _SMA, signal, _SMA),
         "stochastic oscillator, slow"),
    Kind("cci", ("cci",), (20,), _window, lambda b, n: talib.CCI(b.high, b.low, b.close, n), "commodity channel index"),
    Kind("mfi", ("mfi",), (14,), lambda n: n + 1, lambda b, n: talib.MFI(b.high, b.low, b.close, b.volume, n),
         "money flow index"),
    Kind("willr", ("willr",), (14,), _window, lambda b, n: talib.WILLR(b.high, b.low, b.close, n), "Williams' %R"),
    Kind("roc", ("roc",), (10,), lambda n: n + 1, lambda b, n: talib.ROC(b.close, n),
         "rate of change of the close, per cent"),
    Kind("obv", ("obv",), (), lambda: 0, lambda b: talib.OBV(b.close, b.volume), "on-balance volume since its anchor",
         is_anchored=True),
    Kind("ad", ("ad",), (), lambda: 0, lambda b: talib.AD(b.high, b.low, b.close, b.volume),
         "Chaikin's accumulation and distribution since its anchor", is_anchored=True),
)
# fmt: on
KINDS: Final = {kind.name: kind for kind in _KINDS}

# What is kept of every stored candle of 1m, 15m, 1h and 1d.
_KEPT: Final = (
    "sma:20 sma:50 sma:200 ema:20 ema:50 rsi:14 macd bb:20 atr:14 natr:14 adx:14 stoch cci:20 mfi:14 willr:14 roc:10 "
    "obv ad"
)


def read_indicator(text: str) -> Indicator:
    """The indicator that a text such as ``rsi:14`` or ``macd:12:26:9`` names. Raises UnknownIndicator."""
    name, *rest = text.strip().lower().split(":")
    kind = KINDS.get(name)
    if kind is None:
        raise UnknownIndicator(f"There is no indicator named {name[:20]!r}.")
    if not rest:
        return Indicator(kind, kind.defaults)
    if len(rest) != len(kind.defaults):
        raise UnknownIndicator(f"{name} takes {len(kind.defaults)} periods, not {len(rest)}.")
    if not all(part.isascii() and part.isdigit() and PERIOD_LEAST <= int(part[:9]) <= PERIOD_MOST for part in rest):
        raise UnknownIndicator(f"A period of {name} is a whole number from {PERIOD_LEAST} to {PERIOD_MOST}.")
    return Indicator(kind, tuple(map(int, rest)))


def read_indicators(texts: Sequence[str]) -> tuple[Indicator, ...]:
    """Each once, in order. Raises UnknownIndicator."""
    return tuple(dict.fromkeys(map(read_indicator, texts)))


KEPT: Final = read_indicators(_KEPT.split())
KEPT_WARM_UP: Final = max(indicator.warm_up for indicator in KEPT)
