"""``manage.py doctor``: what is missing here, and how to mend it."""

from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console

from ingestion.log import close_log
from streamloom.doctor import FAILED, OK, WARNING, Finding, examine

_SIGNS = {OK: "[green]ok     [/]", WARNING: "[yellow]warning[/]", FAILED: "[red]failed [/]"}


class Command(BaseCommand):
    help = (
        "Check Python, the data folder, each store and the exchange; print the fix of everything that is wrong. "
        "Changes no data. Exits 1 when something that is needed does not work."
    )
    # What Django's own checks would refuse is for the doctor to tell.
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(file=self.stdout._out, soft_wrap=True, highlight=False)
        findings = []
        for finding in examine():
            _show(console, finding)
            findings.append(finding)
        close_log()
        if any(finding.status == FAILED for finding in findings):
            raise SystemExit(1)


def _show(console: Console, finding: Finding) -> None:
    console.print(f"{_SIGNS[finding.status]} {finding.name}: ", end="")
    console.print(finding.detail, markup=False)
    if finding.fix:
        console.print(f"        fix: {finding.fix}", markup=False)
