"""``manage.py faults``: the fault matrix on real Kafka, Postgres and Redis."""

import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from streamloom.faults import report
from streamloom.faults.controls import CONTROLS
from streamloom.faults.matrix import ROWS
from streamloom.faults.run import run_matrix
from streamloom.services.native import MissingService, ServiceFailed, running


class Command(BaseCommand):
    help = (
        "Start Kafka, Postgres, Redis and the ClickHouse engine, the simulated exchange and every role as processes of "
        "their own, do what the rows of the fault matrix say, and compare everything that came out with the exchange's "
        "trades. Then run the negative controls: a protection is switched off, and that must be noticed. Prints the "
        "seed; the same seed repeats the same kills. Ends everything that it started."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rows", help="numbers of rows (1,4,13) and controls (c1,c2); default: all")
        parser.add_argument("--seed", type=int, help="default: by the clock")
        parser.add_argument("--short", action="store_true", help="only the rows that make test runs")
        parser.add_argument("--write", action="store_true", help="write the results into docs/faults.md")
        parser.add_argument("--keep", action="store_true", help="keep the logs of all processes")
        parser.add_argument("--list", action="store_true", help="only say which rows there are")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            for row in (*ROWS, *CONTROLS):
                self.stdout.write(f"{row.label:>4}  {row.name}: {row.fault}")
            return
        chosen = _chosen(options["rows"], short=options["short"])
        # Whatever ends us, what was started here ends too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        seed = options["seed"] if options["seed"] is not None else time.time_ns() // 1_000_000_000 % 1_000_000
        self.stdout.write(f"seed {seed}")
        folder = Path(tempfile.mkdtemp(prefix="streamloom-faults-"))
        # Postgres, which refuses to be root, must be able to enter.
        folder.chmod(0o711)
        results = []
        try:
            with running(folder / "services", "kafka", "postgres", "redis", "clickhouse") as services:
                for result in run_matrix(services, folder, chosen, seed, is_short=options["short"]):
                    results.append(result)
                    self.stdout.write(report.line(result))
                    self.stdout.flush()
                    if options["write"]:
                        report.write(settings.BASE_DIR / "docs" / "faults.md", [result])
        except (MissingService, ServiceFailed) as problem:
            raise CommandError(str(problem)) from problem
        finally:
            if options["keep"] or any(result.is_bad for result in results):
                self.stdout.write(f"logs: {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
        bad = [result.row.label for result in results if result.is_bad]
        if bad:
            raise CommandError(f"not as it must be: {', '.join(bad)} (seed {seed})")


def _chosen(wanted: str | None, *, short: bool) -> list[Any]:
    rows = (*ROWS, *CONTROLS)
    if short:
        return [row for row in rows if row.is_short]
    if wanted is None:
        return list(rows)
    labels = [label.strip() for label in wanted.split(",")]
    known = {row.label: row for row in rows}
    unknown = [label for label in labels if label not in known]
    if unknown:
        raise CommandError(f"no such row: {', '.join(unknown)}; --list shows all")
    return [known[label] for label in labels]
