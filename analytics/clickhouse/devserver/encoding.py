"""Compression of bodies, both ways, by the names of HTTP."""

import gzip
import io
import zlib
from collections.abc import Callable
from typing import Final

import lz4.frame
from clickhouse_connect.driver import compression as client_compression


class UnknownEncoding(ValueError):
    """A body that is compressed in a way that this server does not know."""


def _unpack_lz4(body: bytes) -> bytes:
    # A client sends one frame per block; ``decompress`` would stop after the first.
    with lz4.frame.open(io.BytesIO(body), "rb") as frames:
        return frames.read()


_UNPACK: Final[dict[str, Callable[[bytes], bytes]]] = {
    "lz4": _unpack_lz4,
    "zstd": client_compression._zstd_decompress,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}
_PACK: Final[dict[str, Callable[[bytes], bytes]]] = {
    "lz4": lz4.frame.compress,
    "zstd": client_compression._zstd_compress,
    "gzip": lambda body: gzip.compress(body, compresslevel=1),
    "deflate": lambda body: zlib.compress(body, level=1),
}


def unpack(body: bytes, content_encoding: str) -> bytes:
    """The body as it was before it was compressed. Raises UnknownEncoding; ValueError when it is broken."""
    name = content_encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in _UNPACK:
        raise UnknownEncoding(f"Content-Encoding {content_encoding!r} is not one of {', '.join(_UNPACK)}")
    try:
        return _UNPACK[name](body)
    except (RuntimeError, OSError, EOFError, zlib.error, client_compression._ZstdError) as error:
        raise ValueError(f"the body is no {name}: {error}") from error


def choose(accept_encoding: str) -> str:
    """The first encoding of an Accept-Encoding that is known here; empty when none is."""
    offered = (part.split(";")[0].strip().lower() for part in accept_encoding.split(","))
    return next((name for name in offered if name in _PACK), "")


def pack(body: bytes, encoding: str) -> bytes:
    """The body, compressed by an encoding that ``choose`` gave (empty: as it is)."""
    return _PACK[encoding](body) if encoding else body
