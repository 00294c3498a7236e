"""Negative controls: a protection is switched off, and what it guards must be reported as broken."""

from typing import Final

from streamloom.faults.matrix import Row

CONTROLS: Final[tuple[Row, ...]] = ()
