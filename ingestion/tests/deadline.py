"""Waiting for a condition in tests, with an end."""

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], what: str = "the condition", timeout_s: float = 10.0) -> None:
    """Return as soon as ``condition()`` is true; fail the test after ``timeout_s``."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {timeout_s} s"
        await asyncio.sleep(0.005)
