"""A task whose work can be seen from outside, for a worker with the product's settings."""

import threading
from pathlib import Path

from streamloom.celery import app

__all__ = ["app", "touch"]


@app.task(name="tests.touch")
def touch(path: str, takes_s: float) -> None:
    """Leave a file when it begins, and another one when it is done."""
    Path(f"{path}.begun").touch()
    threading.Event().wait(takes_s)
    Path(f"{path}.done").touch()
