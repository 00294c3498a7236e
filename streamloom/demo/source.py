"""Which exchange the demo follows: Binance when it answers, else the simulated one."""

import socket
import time
from dataclasses import dataclass

from ingestion.binance.rest import BinanceRest, ExchangeError, RegionRefused

PROBE_S = 3.0
SEED = 1


@dataclass(frozen=True, slots=True)
class Source:
    """An exchange and the reason why it was taken. ``stamp`` names it for the data folder."""

    name: str
    rest_url: str
    ws_url: str
    stamp: str
    reason: str


def choose_source(wanted: str, rest_url: str, ws_url: str) -> Source:
    """The exchange for ``auto``, ``binance`` or ``simulated``. ``auto`` asks Binance for at most three seconds."""
    if wanted == "simulated":
        return _simulated("as asked")
    if wanted == "binance":
        return _binance(rest_url, ws_url, "as asked")
    started = time.monotonic()
    try:
        BinanceRest(rest_url, timeout_s=PROBE_S).server_time()
    except RegionRefused:
        return _simulated("Binance refuses this region; set BINANCE_REST_URL and BINANCE_WS_URL to another host")
    except ExchangeError as error:
        return _simulated(f"Binance did not answer within {PROBE_S:.0f} s ({type(error).__name__})")
    return _binance(rest_url, ws_url, f"it answered in {time.monotonic() - started:.1f} s")


def _binance(rest_url: str, ws_url: str, reason: str) -> Source:
    # The host names the exchange; a port may change from run to run.
    host = rest_url.split("://")[-1].split("/")[0].rsplit(":", 1)[0]
    return Source("binance", rest_url, ws_url, f"binance at {host}", reason)


def _simulated(reason: str) -> Source:
    port = free_port()
    address = f"127.0.0.1:{port}"
    return Source("simulated", f"http://{address}", f"ws://{address}", f"simulated, seed {SEED}", reason)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
