"""When a connection is frozen and which symbols are silent. Pure: time comes as an argument (machine seconds).

An acknowledgement is no proof of data (BINANCE.md A2.3), and a dead socket may look alive for minutes. But a
kline frame of every symbol comes every 2 s, so silence says something.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

FROZEN_AFTER_S = 15.0
SILENT_AFTER_S = 30.0
# A symbol that stays silent after all remedies (halted, or unknown) is left in peace for longer and longer.
PATIENCE_CAP_S = 3600.0
# A server that has nothing more to say (a replay that ended) is asked less and less often.
FROZEN_CAP_S = 600.0


@dataclass(slots=True)
class Silence:
    """How long one symbol has been silent, and what was tried: 0 nothing, 1 resubscribed, 2 reconnected."""

    since: float
    tried: int = 0
    tries_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do now: subscribe these again, and reconnect because these stayed silent."""

    resubscribe: tuple[str, ...] = ()
    reconnect_for: tuple[str, ...] = ()


@dataclass(slots=True)
class Watchdog:
    """Watches the acknowledged symbols of one place in the plan, over all its connections."""

    silent_after_s: float = SILENT_AFTER_S
    _silences: dict[str, Silence] = field(default_factory=dict)
    _patience: dict[str, float] = field(default_factory=dict)

    def expect(self, symbols: Iterable[str], now: float) -> None:
        """These symbols are acknowledged: frames are due, from the first time that this is said."""
        for symbol in symbols:
            if symbol not in self._silences:
                self._silences[symbol] = Silence(now)

    def keep_only(self, symbols: Collection[str]) -> None:
        """Forget all others: they are no longer subscribed."""
        for symbol in self._silences.keys() - set(symbols):
            del self._silences[symbol]
            self._patience.pop(symbol, None)

    def hear(self, symbols: Iterable[str], now: float) -> None:
        """Frames of these symbols came."""
        for symbol in symbols:
            silence = self._silences.get(symbol)
            if silence is not None:
                silence.since, silence.tried = now, 0
                self._patience.pop(symbol, None)

    def excuse(self, now: float) -> None:
        """We did not read: nobody was silent, whatever came or not."""
        for silence in self._silences.values():
            silence.since = now

    def silent(self, now: float) -> list[str]:
        """The symbols that are silent at present, for the metric and the heartbeat."""
        return sorted(
            symbol for symbol, silence in self._silences.items() if now - silence.since >= self.silent_after_s
        )

    def judge(self, now: float) -> Verdict:
        """The remedies that are due; each is noted as tried. Ask only while other symbols move."""
        due = [(symbol, self._silences[symbol]) for symbol in self.silent(now)]
        due = [(symbol, silence) for symbol, silence in due if now >= silence.tries_until]
        again = tuple(symbol for symbol, silence in due if silence.tried == 0)
        stubborn = tuple(symbol for symbol, silence in due if silence.tried >= 1)
        for symbol, silence in due:
            self._note_remedy(symbol, silence, now)
        return Verdict(again, stubborn)

    def _note_remedy(self, symbol: str, silence: Silence, now: float) -> None:
        silence.tried += 1
        if silence.tried == 1:
            silence.tries_until = now + self.silent_after_s
            return
        patience = self._patience.get(symbol, self.silent_after_s)
        self._patience[symbol] = min(patience * 2, PATIENCE_CAP_S)
        silence.tries_until = now + patience


def frozen_after_s(fruitless: int, first_s: float = FROZEN_AFTER_S) -> float:
    """Seconds without any frame after which a connection counts as frozen.

    ``fruitless``: replacements in a row that brought no frame newer than all before.
    """
    return min(first_s * 2.0 ** min(fruitless, 20), FROZEN_CAP_S)
