"""How a simulated exchange is set up."""

from dataclasses import dataclass, field
from pathlib import Path

from ingestion.binance.simulator.faults import FaultPlan

REPLAY_STARTS = ("subscribe", "now")


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """Made-up trades of ``seed``, or the recordings of ``replay``.

    ``symbols`` and ``pace`` of a made-up market: how many (None: the known ones), and how many times as many trades.

    ``speed``: how much faster than real; 0: as fast as the readers read. ``start_ms``: the made-up
    exchange's clock at the start (None: the machine's). ``replay_start``: ``subscribe`` (the clock stands until the
    first subscription) or ``now``; ``replay_delay_s`` after that. ``weight_limit``: REST weight per minute.
    ``archive_delay_ms``: so long after its last day is over a file appears in the archive.
    """

    seed: int = 1
    symbols: int | None = None
    pace: float = 1.0
    replay: tuple[Path, ...] = ()
    speed: float = 1.0
    start_ms: int | None = None
    replay_start: str = "subscribe"
    replay_delay_s: float = 0.0
    weight_limit: int = 6000
    archive_delay_ms: int = 0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 60.0
    faults: FaultPlan = field(default_factory=FaultPlan)

    def __post_init__(self) -> None:
        if not 0 <= self.speed < float("inf"):
            raise ValueError(f"speed must be 0 or above, not {self.speed}")
        if self.replay_start not in REPLAY_STARTS:
            raise ValueError(f"replay_start must be one of {', '.join(REPLAY_STARTS)}")
        if self.replay and self.start_ms is not None:
            raise ValueError("a replay has the recording's own time: no start can be given")
