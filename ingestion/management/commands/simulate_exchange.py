"""``manage.py simulate_exchange``: Binance's wire protocol on loopback, for demos and for testing bots."""

import datetime as dt
import signal
import threading
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingestion.binance.simulator.config import REPLAY_STARTS, SimulatorConfig
from ingestion.binance.simulator.faults import FaultPlan
from ingestion.binance.simulator.recordings import BadRecording
from ingestion.binance.simulator.server import SimulatedExchange

_EXAMPLES = """
A separate exchange that speaks Binance Spot's protocol: market streams and public REST. Point a client at
the two addresses it prints (for ccxt, python-binance and others: the base address of REST and streams).

made-up trades (same seed, same past and future, also after a restart):
  manage.py simulate_exchange
  manage.py simulate_exchange --seed 7 --speed 60 --start 2026-01-01T00:00:00Z

recorded trades, with the recording's own time (the archive's aggTrades as .csv, .csv.gz or .zip,
or a CSV of single fills with a header; several files and symbols are merged by time):
  manage.py simulate_exchange --replay BTCUSDT-aggTrades-2026-09-15.zip --speed 10
  manage.py simulate_exchange --replay day1.csv.gz day2.csv.gz --speed 0

does my bot survive ...
  a lost connection every 30 s?         --cut-every 30
  lost, doubled, swapped trades?        --drop 0.01 --double 0.01 --reorder 0.01
  frames that are no JSON?              --malformed 0.001
  REST that is behind the stream?       --rest-lag 3000
  ids that no one can serve?            --hole BTCUSDT:1000-1010
  REST that forgets after two hours?    --rest-reach 7200000 (the archive has them: /data/spot/...)
  one symbol that falls silent?         --freeze-symbol ETHUSDT
  an outage of the exchange itself?     --halt BTCUSDT:1780000020000-1780000260000 (epoch ms: no trades, no klines)

while it runs (http://127.0.0.1:9090 stands for the printed address):
  curl http://127.0.0.1:9090/control/faults
  curl -X POST http://127.0.0.1:9090/control/faults -d '{"frozen": true}'
  curl -X POST http://127.0.0.1:9090/control/faults -d '{"drop_ids": {"BTCUSDT": [[1000, 1010]]}}'
  curl -X DELETE http://127.0.0.1:9090/control/faults
  curl -X POST http://127.0.0.1:9090/control/cut
  curl -X POST http://127.0.0.1:9090/control/shutdown -d '{"delay_s": 10}'
  curl -X POST http://127.0.0.1:9090/control/refuse -d '{"status": 429, "for_s": 10, "retry_after_s": 2}'
  curl -X POST http://127.0.0.1:9090/control/malformed -d '{"text": "no json"}'
"""


class Command(BaseCommand):
    help = "Serve Binance Spot's wire protocol on loopback, from made-up or recorded trades."
    # It needs no database and no other part of the project.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = _EXAMPLES
        _add_source(parser)
        _add_faults(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        exchange = _exchange(options)
        try:
            exchange.start(options["port"], options["host"])
        except OSError as error:
            raise CommandError(
                f"cannot serve on {options['host']}:{options['port']}: {error.strerror}; "
                "choose another --port (0: any free one)"
            ) from error
        self._announce(exchange)
        _wait_for_signal()
        exchange.stop()

    def _announce(self, exchange: SimulatedExchange) -> None:
        self.stdout.write(
            f"REST     {exchange.rest_url}/api/v3/exchangeInfo\n"
            f"streams  {exchange.ws_url}/stream?streams=...\n"
            f"faults   {exchange.control_url}/faults\n"
            f"symbols  {' '.join(exchange.symbols)}\n"
            f"archive  {exchange.rest_url}/data/spot/daily/aggTrades/..."
        )
        self.stdout.flush()


def _add_source(parser: ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default: loopback only)")
    parser.add_argument("--port", type=int, default=9090, help="port (default 9090; 0: a free one)")
    parser.add_argument("--seed", type=int, default=1, help="which made-up market (default 1)")
    parser.add_argument(
        "--symbols", type=int, metavar="N", help="how many made-up symbols (default: the known ones; 200 is no problem)"
    )
    parser.add_argument(
        "--pace",
        type=float,
        default=1.0,
        metavar="TIMES",
        help="so many times as many trades (6: BTCUSDT has a million a day)",
    )
    parser.add_argument(
        "--start", metavar="TIME", help="the made-up market's clock at the start, ISO 8601 (default: now)"
    )
    parser.add_argument("--replay", nargs="+", default=[], metavar="FILE", help="serve these recorded trades")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="times real time (default 1); 0: as fast as the readers read"
    )
    parser.add_argument(
        "--replay-start",
        choices=REPLAY_STARTS,
        default=REPLAY_STARTS[0],
        help="the replay's clock starts with the first subscription (default) or now",
    )
    parser.add_argument(
        "--replay-delay", type=float, default=0.0, metavar="S", help="and waits so long, for others to subscribe"
    )
    parser.add_argument("--weight-limit", type=int, default=6000, help="REST weight per minute (default 6000)")
    parser.add_argument(
        "--archive-delay",
        type=int,
        default=0,
        metavar="MS",
        help="archive files appear so long after their day is over",
    )


def _add_faults(parser: ArgumentParser) -> None:
    faults = parser.add_argument_group("faults (parts are 0..1; all can be changed while it runs)")
    for name, text in (
        ("drop", "part of the trades the streams leave out (REST has them)"),
        ("double", "part of the trades sent twice"),
        ("reorder", "part of the trades sent after their successor"),
        ("malformed", "part of the trades sent as broken frames"),
        ("drop-klines", "part of the closed klines the streams leave out (REST has them)"),
    ):
        faults.add_argument(f"--{name}", type=float, default=0.0, metavar="PART", help=text)
    faults.add_argument("--fault-seed", type=int, default=0, help="which trades are hit (default 0)")
    faults.add_argument(
        "--drop-ids", action="append", default=[], metavar="SYMBOL:FROM-TO", help="ids the streams leave out"
    )
    faults.add_argument(
        "--hole", action="append", default=[], metavar="SYMBOL:FROM-TO", help="ids that neither streams nor REST have"
    )
    faults.add_argument(
        "--halt", action="append", default=[], metavar="SYMBOL:FROM-TO", help="epoch ms without trades and klines"
    )
    faults.add_argument("--freeze", action="store_true", help="open sockets that say nothing")
    faults.add_argument(
        "--freeze-symbol", action="append", default=[], metavar="SYMBOL", help="acknowledged, but silent"
    )
    faults.add_argument("--rest-lag", type=int, default=0, metavar="MS", help="REST does not know the newest trades")
    faults.add_argument(
        "--rest-reach", type=int, default=0, metavar="MS", help="REST has no trades older than this (default: all)"
    )
    faults.add_argument("--cut-every", type=float, default=0.0, metavar="S", help="cut all connections so often")


def _exchange(options: dict[str, Any]) -> SimulatedExchange:
    try:
        return SimulatedExchange(_config(options))
    except BadRecording as error:
        raise CommandError(str(error)) from error
    except ValueError as error:
        raise CommandError(f"{error} (see --help)") from error


def _config(options: dict[str, Any]) -> SimulatorConfig:
    return SimulatorConfig(
        seed=options["seed"],
        symbols=options["symbols"],
        pace=options["pace"],
        replay=tuple(Path(name) for name in options["replay"]),
        speed=options["speed"],
        start_ms=_milliseconds(options["start"]),
        replay_start=options["replay_start"],
        replay_delay_s=options["replay_delay"],
        weight_limit=options["weight_limit"],
        archive_delay_ms=options["archive_delay"],
        faults=_plan(options),
    )


def _plan(options: dict[str, Any]) -> FaultPlan:
    return FaultPlan().changed(
        {
            "seed": options["fault_seed"],
            "frozen": options["freeze"],
            "frozen_symbols": options["freeze_symbol"],
            **{name: options[name] for name in ("drop", "double", "reorder", "malformed", "drop_klines")},
            "drop_ids": _spans(options["drop_ids"]),
            "holes": _spans(options["hole"]),
            "halts": _spans(options["halt"]),
            "rest_lag_ms": options["rest_lag"],
            "rest_reach_ms": options["rest_reach"],
            "cut_every_s": options["cut_every"],
        }
    )


def _spans(texts: list[str]) -> dict[str, list[list[int]]]:
    """``SYMBOL:FROM-TO`` texts by symbol. Raises ValueError."""
    spans: dict[str, list[list[int]]] = {}
    for text in texts:
        symbol, _, ids = text.partition(":")
        low, _, high = ids.partition("-")
        if not low.isdigit() or not high.isdigit():
            raise ValueError(f"{text!r} is not SYMBOL:FROM-TO, e.g. BTCUSDT:1000-1010")
        spans.setdefault(symbol.upper(), []).append([int(low), int(high)])
    return spans


def _milliseconds(text: str | None) -> int | None:
    if text is None:
        return None
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return int(moment.timestamp() * 1000)


def _wait_for_signal() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
