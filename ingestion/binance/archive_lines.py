"""The lines of the archive's CSV files, read as a stream from any place on.

A zip cannot be entered in its middle: to go on at a place, everything before it is unpacked again, and a month has
gigabytes. So a reader is kept between two reads and goes on where it is. It holds a few buffers and no open file: what
is removed meanwhile leaves the disk.
"""

import io
import struct
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple

# Rows have 150 bytes at most. What is longer is no row, and must neither fill the memory nor become a dead letter.
LONGEST: Final = 4_096
_PACKED: Final = 64 * 1024
_PIECE: Final = 256 * 1024
_BATCH: Final = 2_000
# A member's own header: 26 bytes, the sizes of its name and of its extra field, and these two.
_HEADER: Final = struct.Struct("<26xHH")
# One of each kind of data, and some to spare.
_MOST_KEPT: Final = 8


class BadArchive(Exception):
    """The file is no zip with one CSV of rows in it, although it is what its checksum says."""


class Line(NamedTuple):
    """One line of a CSV, and the place in the unpacked text right after it."""

    text: bytes
    end: int


class ArchiveLines:
    """The lines of the one CSV in a zip; a header row and empty lines are passed over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._problem: BadArchive | None = None
        self._begin()

    def __iter__(self) -> Iterator[Line]:
        """All lines, from the first on. Raises BadArchive."""
        place = 0
        while batch := self.read(place, _BATCH):
            yield from batch
            place = batch[-1].end

    @property
    def is_over(self) -> bool:
        """True when nothing more is to be had: the last line was read and passed, or the file is no archive."""
        return self._problem is not None or (self._is_ended and not self._ahead)

    def read(self, place: int, count: int, sign: Callable[[], object] = lambda: None) -> list[Line]:
        """Up to ``count`` lines after a place, which is 0 or the end of a line; fewer only at the end.

        The lines stay at hand until a later place is asked for; going back further begins the file anew. ``sign`` is
        called now and then while text is passed over; what it raises ends the read, and the next one goes on there.
        Raises BadArchive.
        """
        if self._problem is not None:
            raise self._problem
        if place < self._place:
            self._begin()
        self._pass(place)
        with self._path.open("rb") as file:
            while len(self._ahead) < count and not self._is_ended:
                self._take(self._text_of(file), place)
                if self._at < place:
                    sign()
        return self._ahead[:count]

    def _begin(self) -> None:
        self._text: _Text | None = None
        self._is_ended = False
        # Lines from ``_place`` on are at hand: the whole ones, and from ``_at`` on the beginning of one.
        self._place, self._ahead = 0, list[Line]()
        self._at, self._rest = 0, b""

    def _pass(self, place: int) -> None:
        self._place = place
        self._ahead = self._ahead[bisect_right(self._ahead, place, key=lambda line: line.end) :]

    def _text_of(self, file: IO[bytes]) -> bytes:
        try:
            if self._text is None:
                self._text = _Text(file)
            return self._text.read(file)
        except (BadArchive, zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError) as error:
            raise self._spoiled(str(error)) from error

    def _spoiled(self, what: str) -> BadArchive:
        self._problem, self._ahead = BadArchive(f"{self._path.name}: {what}"), []
        return self._problem

    def _take(self, text: bytes, place: int) -> None:
        """Split the next piece of text into lines; what lies before the place is thrown away unseen."""
        self._is_ended = not text
        text = self._rest + text
        passed = min(len(text), max(0, place - self._at))
        self._at, self._rest = self._at + passed, b""
        for line in io.BytesIO(text[passed:]):
            if len(line) > LONGEST:
                raise self._spoiled(f"a line of more than {LONGEST:,} bytes after byte {self._at:,}")
            if not line.endswith(b"\n") and not self._is_ended:
                self._rest = line
                return
            is_header = self._at == 0 and not line[:1].isdigit()
            self._at += len(line)
            if not is_header and line.strip():
                self._ahead.append(Line(line, self._at))


class _Text:
    """The text of the one CSV in a zip, unpacked piece by piece."""

    def __init__(self, file: IO[bytes]) -> None:
        with zipfile.ZipFile(file) as packed:
            info = _csv_in(packed)
        if info.compress_type != zipfile.ZIP_DEFLATED:
            raise BadArchive(f"{info.filename} is not deflated (method {info.compress_type})")
        file.seek(info.header_offset)
        name, extra = _HEADER.unpack(file.read(_HEADER.size))
        self._at = info.header_offset + _HEADER.size + name + extra
        self._end = self._at + info.compress_size
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._crc, self._wanted_crc = 0, info.CRC

    def read(self, file: IO[bytes]) -> bytes:
        """The next piece; empty at the end."""
        inflater = self._inflater
        while not inflater.eof:
            packed = inflater.unconsumed_tail or self._packed(file)
            piece = inflater.decompress(packed, _PIECE)
            if piece:
                self._crc = zlib.crc32(piece, self._crc)
                return piece
            if not packed and not inflater.eof:
                raise BadArchive("it ends too early")
        if self._crc != self._wanted_crc:
            raise BadArchive("the text is not what was packed (CRC)")
        return b""

    def _packed(self, file: IO[bytes]) -> bytes:
        file.seek(self._at)
        packed = file.read(min(_PACKED, self._end - self._at))
        self._at += len(packed)
        return packed


def _csv_in(packed: zipfile.ZipFile) -> zipfile.ZipInfo:
    found = [info for info in packed.infolist() if info.filename.endswith(".csv")]
    if len(found) != 1:
        raise BadArchive(f"{len(found)} CSV files in it, not one")
    return found[0]


class Bookmarks:
    """Readers that are not at their end, kept for whoever reads on in the same file in this process."""

    def __init__(self) -> None:
        self._kept: dict[Path, ArchiveLines] = {}

    @contextmanager
    def lines(self, path: Path) -> Iterator[ArchiveLines]:
        """The file's reader, wherever it is; nobody else gets it meanwhile. A path always names the same bytes."""
        lines = self._kept.pop(path, None) or ArchiveLines(path)
        try:
            yield lines
        finally:
            if not lines.is_over:
                self._kept[path] = lines
                for oldest in list(self._kept)[:-_MOST_KEPT]:
                    self._kept.pop(oldest, None)
