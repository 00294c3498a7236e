"""The files of one backfill: found in the archive, fetched, verified, given up when they are spoiled."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import structlog

from ingestion.backfill import metrics, store
from ingestion.backfill.plan import Step
from ingestion.backfill.tools import Archive, Later, TimeIsUp
from ingestion.binance.archive import WrongChecksum
from ingestion.binance.archive_files import ArchiveFile, candidates
from ingestion.binance.archive_lines import BadArchive, Line

logger = structlog.get_logger(__name__)

_TRIES: Final = 3
_SPOILED_WAIT_S: Final = 20.0
_SIGN_LINES: Final = 100_000


class Place(msgspec.Struct):
    """Where in a file the work is. ``offset``: in the unpacked text, after the last row in the log; ``tries``: how
    often in a row a file was spoiled; ``bad``: files that are given up; ``months``: {name: (SHA-256, offset, rows)} of
    files of whole months, which are read a day at a time. ``asked_to``: up to this open time REST was asked for the
    klines of a day without a file; null before it is known that there is none."""

    name: str = ""
    sha256: str = ""
    offset: int = 0
    rows: int = 0
    tries: int = 0
    bad: list[str] = []
    months: dict[str, tuple[str, int, int]] = {}
    asked_to: int | None = None


class Found(NamedTuple):
    """A file that is here and is what its checksum says."""

    file: ArchiveFile
    path: Path


class Shelf:
    """Gives the files of one symbol, one at a time. ``place`` is changed as the work goes on; ``go_on`` is asked often,
    ``moved`` is called when a part of a file has come.

    Raises TimeIsUp, Later, and what the archive raises.
    """

    def __init__(
        self,
        archive: Archive,
        symbol: str,
        folder: Path,
        place: Place,
        go_on: Callable[[], bool],
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        self._archive, self._symbol, self._folder = archive, symbol, folder
        self._go_on, self._moved = go_on, moved
        self.place = place

    def find(self, step: Step) -> Found | None:
        """The best file of the step's day, fetched and verified; None when the archive has none. Raises TimeIsUp."""
        for file in candidates(self._symbol, step.data, step.day):
            if file.name in self.place.bad:
                continue
            checksum = self._archive.checksum(file)
            if checksum is None:
                continue
            path = self._fetch(file, checksum)
            if path is not None:
                self._turn_to(file, checksum)
                return Found(file, path)
        return None

    def watched(self, lines: Iterable[Line]) -> Iterator[Line]:
        """The lines, through to the end; whoever waits for a sign of life gets one now and then."""
        for number, line in enumerate(lines):
            if number % _SIGN_LINES == 0:
                self._go_on()
            yield line

    def _fetch(self, file: ArchiveFile, checksum: str) -> Path | None:
        try:
            path = self._archive.fetch(file, checksum, self._folder, self._go_on)
        except FileNotFoundError:
            return None
        except WrongChecksum as error:
            metrics.FILES.labels("wrong_checksum").inc()
            self._give_up(file, str(error))
            return None
        if path is None:
            self._moved()
            raise TimeIsUp
        return path

    def _turn_to(self, file: ArchiveFile, checksum: str) -> None:
        """Go on in the file, or begin with it."""
        place = self.place
        if (place.name, place.sha256) == (file.name, checksum):
            return
        known, offset, rows = place.months.get(file.name, ("", 0, 0))
        if place.name == file.name:
            logger.warning("archive_file_replaced_meanwhile", file=file.name, sha256=checksum, before=place.sha256)
        if known != checksum:
            offset = rows = 0
        place.name, place.sha256, place.offset, place.rows = file.name, checksum, offset, rows

    def spoiled(self, found: Found, problem: BadArchive) -> None:
        """The file is no zip of rows, whatever its checksum says. Raises Later."""
        found.path.unlink(missing_ok=True)
        self._give_up(found.file, str(problem))

    def _give_up(self, file: ArchiveFile, problem: str) -> None:
        """Fetch it again a little later (it may be in the making), but not for ever."""
        place = self.place
        place.tries += 1
        logger.warning("archive_file_spoiled", file=file.name, problem=problem, tries=place.tries, of=_TRIES)
        if place.tries < _TRIES:
            raise Later(_SPOILED_WAIT_S * place.tries, f"{problem}; it will be fetched again")
        place.tries, place.bad = 0, [*place.bad, file.name]
        metrics.FILES.labels("bad").inc()

    def used(self, found: Found) -> None:
        """All rows of the file that are wanted are in the log."""
        before = store.note_use(found.file.name, self.place.sha256, self.place.rows)
        if before:
            metrics.FILES.labels("replaced").inc()
            logger.warning(
                "archive_file_replaced",
                file=found.file.name,
                sha256=self.place.sha256,
                before=before,
                hint="the exchange has changed this file since it was used; manage.py audit tells whether it matters",
            )
        metrics.FILES.labels("used").inc()
        place = self.place
        place.tries = 0
        if found.file.is_monthly:
            place.months[place.name] = (place.sha256, place.offset, place.rows)
        else:
            found.path.unlink(missing_ok=True)
