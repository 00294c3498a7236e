"""The exchange's public archive over HTTP: which files there are, their checksums, and downloads that go on.

A missing file is a normal answer (None or False). Everything else that can go wrong is an ExchangeError, except a
file that is not what its checksum says: WrongChecksum.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx2

from ingestion.binance.archive_files import ArchiveFile
from ingestion.binance.errors import BadAnswer, ExchangeAway, ExchangeBusy, RegionRefused

_CHUNK: Final = 256 * 1024
_CHECKSUM: Final = re.compile(r"([0-9a-fA-F]{64})\s+\*?(\S+)\s*")
_BUSY_S: Final = 30.0
_SHOWN: Final = 16


class WrongChecksum(Exception):
    """The file was fetched whole and is not what its checksum says. Nothing of it was used."""


class BinanceArchive:
    """Asks the archive at one address; may be shared by threads."""

    def __init__(
        self, base_url: str, *, timeout_s: float = 20.0, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._client = httpx2.Client(timeout=timeout_s, transport=transport, follow_redirects=True)

    def checksum(self, file: ArchiveFile) -> str | None:
        """The SHA-256 (hex) that the archive tells of the file now; None when there is no such file."""
        response = self._ask("GET", file)
        if response is None:
            return None
        match = _CHECKSUM.fullmatch(response.text)
        if match is None or match[2] != file.name:
            raise BadAnswer(f"{file.name}.CHECKSUM is no checksum of it: {response.text[:80]!r}")
        return match[1].lower()

    def has(self, file: ArchiveFile) -> bool:
        """True when the archive has the file."""
        return self._ask("HEAD", file) is not None

    def fetch(self, file: ArchiveFile, checksum: str, folder: Path, go_on: Callable[[], bool]) -> Path | None:
        """The file in the folder, with that checksum; None when ``go_on`` said no before all of it was there.

        What was fetched is kept, and the next call goes on there, after a kill too. The part carries the checksum in
        its name, so that bytes of a file that was replaced meanwhile never mix.
        Raises WrongChecksum, FileNotFoundError.
        """
        whole = folder / f"{file.name}.{checksum[:_SHOWN]}"
        if whole.exists():
            return whole
        folder.mkdir(parents=True, exist_ok=True)
        part = whole.with_name(whole.name + ".part")
        if not self._download(file, part, go_on):
            return None
        found = _sha256(part)
        if found != checksum:
            part.unlink()
            raise WrongChecksum(f"{file.name} has the SHA-256 {found}, its CHECKSUM says {checksum}")
        part.replace(whole)
        return whole

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, method: str, file: ArchiveFile) -> httpx2.Response | None:
        try:
            response = self._client.request(method, f"{self._base_url}/{file.path}.CHECKSUM")
        except httpx2.RequestError as error:
            raise self._away(error) from error
        return response if self._is_there(response) else None

    def _download(self, file: ArchiveFile, part: Path, go_on: Callable[[], bool]) -> bool:
        """True when the end was reached."""
        have = part.stat().st_size if part.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        try:
            with self._client.stream("GET", f"{self._base_url}/{file.path}", headers=headers) as response:
                if response.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE:
                    return True  # All of it is here already.
                if not self._is_there(response):
                    raise FileNotFoundError(f"{file.name}: its checksum is in the archive, the file is not")
                is_rest = response.status_code == httpx2.codes.PARTIAL_CONTENT
                # A server that begins anew each time would never come to an end.
                may_pause = is_rest or not have
                with part.open("ab" if is_rest else "wb") as target:
                    for chunk in response.iter_raw(_CHUNK):
                        target.write(chunk)
                        if not go_on() and may_pause:
                            return False
        except httpx2.RequestError as error:
            raise self._away(error) from error
        return True

    def _is_there(self, response: httpx2.Response) -> bool:
        status = response.status_code
        if status in (httpx2.codes.OK, httpx2.codes.PARTIAL_CONTENT):
            return True
        if status == httpx2.codes.NOT_FOUND:
            return False
        if status in (403, 451):
            raise RegionRefused(f"{self._base_url} refuses this region or address (HTTP {status})")
        if status in (429, 418, 503):
            told = response.headers.get("Retry-After", "")
            raise ExchangeBusy(float(told) if told.isdigit() else _BUSY_S, f"{self._base_url}: HTTP {status}")
        raise ExchangeAway(f"{self._base_url}: HTTP {status}")

    def _away(self, error: Exception) -> ExchangeAway:
        return ExchangeAway(f"{self._base_url}: {error or type(error).__name__}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
