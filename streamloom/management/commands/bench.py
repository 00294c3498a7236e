"""``manage.py bench``: the hot paths beside their naive versions."""

import logging
import platform
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

from ingestion.binance.simulator.recordings import BadRecording
from streamloom.bench import material, report
from streamloom.bench.catalogue import ON_RECORDED, PATHS
from streamloom.bench.contest import Case, Differs, Figures, compete
from streamloom.bench.material import Material
from streamloom.bench.place import own_store

_RECORDING = "shared/data/binance/trades/2019-05-25-ADAUSDT.csv.gz"


class Command(BaseCommand):
    help = (
        "Measure the hot paths beside naive versions of them, after checking that both give the same. Reads and writes "
        "folders of its own only. Exits 1 when a fast version gives something else."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", nargs="*", metavar="what", help=f"{', '.join(PATHS)}; default: all")
        parser.add_argument("--rounds", type=int, default=9, help="how often each side runs (default: 9)")
        parser.add_argument("--trades", type=int, default=50_000, help="how many trades (default: 50000)")
        parser.add_argument("--recorded", type=Path, help="a file of recorded trades (CSV, gz or zip)")
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")

    def handle(self, *args: Any, **options: Any) -> None:
        names = options["what"] or list(PATHS)
        unknown = [name for name in names if name not in PATHS]
        if unknown:
            raise CommandError(f"There is no {unknown[0]!r} to measure. Known: {', '.join(PATHS)}.")
        if options["rounds"] < 1 or options["trades"] < 100:
            raise CommandError("--rounds must be at least 1 and --trades at least 100.")
        try:
            self._measure(names, options)
        except (Differs, BadRecording) as error:
            raise CommandError(str(error)) from error

    def _measure(self, names: list[str], options: dict[str, Any]) -> None:
        console = Console(file=self.stderr._out, highlight=False)
        chance = random.Random(material.SEED)  # noqa: S311 - not a secret
        figures: list[Figures] = []
        # The steps of the store's migrations are no news here.
        logging.disable(logging.INFO)
        with own_store():
            for case in _cases(names, _materials(options)):
                console.print(f"{case.name} ...")
                figures.append(compete(case, options["rounds"], chance))
        self._show(figures, options)

    def _show(self, figures: list[Figures], options: dict[str, Any]) -> None:
        if options["json"]:
            about = {"python": platform.python_version(), "trades": options["trades"], "rounds": options["rounds"]}
            self.stdout.write(report.as_json(figures, **about).decode())
            return
        Console(file=self.stdout._out, width=None if self.stdout.isatty() else 140).print(report.table(figures))


def _materials(options: dict[str, Any]) -> list[Material]:
    found = [material.made_up(options["trades"])]
    path = options["recorded"] or settings.BASE_DIR.parent / _RECORDING
    if options["recorded"] is not None or path.is_file():
        found.append(material.recorded(path, options["trades"]))
    return found


def _cases(names: list[str], materials: list[Material]) -> Iterator[Case]:
    for name in names:
        for place, trades in enumerate(materials):
            if place == 0 or name in ON_RECORDED:
                yield from PATHS[name](trades)
