"""``manage.py demo``: the whole product on one laptop, in one process."""

import errno
import os
import re
import sys
import time
from argparse import ArgumentTypeError
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

from streamloom.demo import folder as folders
from streamloom.demo.source import Source, choose_source

# Set for the second start of the same process: the settings then name the source's folder.
_REASON = "STREAMLOOM_DEMO_REASON"
_STAMP = "STREAMLOOM_DEMO_STAMP"
# The simulated exchange makes up each day that it is asked for: three years of days would keep a core busy for minutes.
_SIMULATED_KLINES = "1s=600,1m=1440,15m=1000,1h=300,1d=30"
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def span_ms(text: str) -> int:
    """A span such as 2h, 90m or 0 in milliseconds."""
    match = re.fullmatch(r"(\d{1,5})([smhd]?)", text.strip())
    if match is None or (match[1].strip("0") and not match[2]):
        raise ArgumentTypeError(f"{text!r} is no span: a number and a unit of s, m, h, d, such as 2h (0 for none)")
    return int(match[1]) * _UNITS_MS.get(match[2], 0)


def port_number(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise ArgumentTypeError(f"{text!r} is no port: a number from 1 to 65535")
    return int(text)


def speed_factor(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 < speed <= 1000:
        raise ArgumentTypeError(f"{text!r} is no speed: a number above 0, at most 1000")
    return speed


def symbol_list(text: str) -> list[str]:
    symbols = [part.strip().upper() for part in text.split(",") if part.strip()]
    if not symbols:
        raise ArgumentTypeError("no symbol: a list such as BTCUSDT,ETHUSDT")
    return list(dict.fromkeys(symbols))


class Command(BaseCommand):
    help = (
        "Run everything in this one process: the exchange's trades come in, candles appear on the page. "
        "Needs no Docker, no account and, with the simulated exchange, no network. Ctrl-C stops it; the data stays."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--source",
            choices=("auto", "binance", "simulated"),
            default="auto",
            help="auto: Binance when it answers within 3 s, else the simulated exchange",
        )
        parser.add_argument("--symbols", type=symbol_list, help="watch exactly these, e.g. BTCUSDT,ETHUSDT,SOLUSDT")
        parser.add_argument("--port", type=port_number, default=8000, help="of the page and the API")
        parser.add_argument("--data-dir", type=Path, default=Path("var"), help="one folder per source is made in it")
        parser.add_argument("--history", type=span_ms, default="2h", help="fetch the trades of this span before now")
        parser.add_argument("--speed", type=speed_factor, default=1.0, help="of the simulated exchange's clock")
        parser.add_argument("--reset", action="store_true", help="forget the data first")

    def handle(self, *args: Any, **options: Any) -> None:
        if _REASON not in os.environ:
            self._start_with_source(options)
        self._run(options)

    def _start_with_source(self, options: dict[str, Any]) -> None:
        """Settings name the data folder, and the folder depends on the source: choose it, then start again with it."""
        source = choose_source(options["source"], settings.BINANCE_REST_URL, settings.BINANCE_WS_URL)
        environment = {**os.environ, **_environment(source, options["data_dir"])}
        Path(environment["STREAMLOOM_DATA_DIR"]).mkdir(parents=True, exist_ok=True)
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)  # noqa: S606 - the same program again

    def _run(self, options: dict[str, Any]) -> None:
        console = Console()
        folder = settings.STREAMLOOM_DATA_DIR
        try:
            lock = folders.hold(folder)
            if options["reset"]:
                removed = folders.forget(folder)
                console.print(f"Forgotten in {folder}: {', '.join(removed) or 'nothing was there'}.", highlight=False)
            begun_ms = folders.stamp(folder, os.environ[_STAMP], time.time_ns() // 1_000_000)
        except folders.FolderProblem as problem:
            raise CommandError(str(problem)) from problem
        with lock:
            self._run_demo(console, options, begun_ms)

    def _run_demo(self, console: Console, options: dict[str, Any], begun_ms: int) -> None:
        # Only now: these read settings, and open nothing that another process may hold.
        from streamloom.demo.run import Demo

        port = options["port"]
        tell = partial(console.print, highlight=False, markup=False, soft_wrap=True)
        tell(f"Source: {settings.STREAMLOOM_SOURCE} ({os.environ[_REASON]}). Starting ...")
        demo = Demo(port, options["symbols"], options["history"], options["speed"], tell=tell, origin_ms=begun_ms)
        try:
            demo.run(on_ready=lambda: tell(_welcome(port, demo.password, options["data_dir"], demo.example())))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise CommandError(
                f"Port {port} is busy. Stop what listens there, or choose another with --port."
            ) from error
        if demo.has_failed:
            raise CommandError("The web server ended by itself: see its error above. The data is kept.")
        tell("Stopped. The data is kept for the next start.")


def _environment(source: Source, data_dir: Path) -> dict[str, str]:
    klines = {"KLINES_HISTORY": _SIMULATED_KLINES} if source.name == "simulated" else {}
    # The simulated exchange has an archive of its own: another one's ids do not mix with its.
    archive = {"BINANCE_ARCHIVE_URL": source.rest_url} if source.name == "simulated" else {}
    return {
        **archive,
        **{name: os.environ.get(name, value) for name, value in klines.items()},
        "STREAMLOOM_MODE": "embedded",
        "STREAMLOOM_SOURCE": source.name,
        "STREAMLOOM_DATA_DIR": str((data_dir / source.name).resolve()),
        "BINANCE_REST_URL": source.rest_url,
        "BINANCE_WS_URL": source.ws_url,
        "LOG_FORMAT": os.environ.get("LOG_FORMAT", "pretty"),
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
        _REASON: source.reason,
        _STAMP: source.stamp,
    }


def _welcome(port: int, password: str, data_dir: Path, symbol: str) -> str:
    """Where to look. Plain lines: a frame would break the command that is to be copied."""
    url = f"http://127.0.0.1:{port}"
    lines = (
        "Streamloom is running.",
        f"  Page      {url}/",
        f"  Pipeline  {url}/status",
        f"  API       {url}/docs",
        f"  Admin     {url}/admin/   user: admin   password: {password}",
        f"  Try       curl '{url}/candles?symbol={symbol}&interval=1m&limit=3'",
        f"  Data      {data_dir / settings.STREAMLOOM_SOURCE} (kept; --reset forgets it). Ctrl-C stops.",
    )
    return "\n".join(lines)
