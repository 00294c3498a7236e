"""The simulated exchange as a process of its own: it goes on while the demo is dead."""

from streamloom.faults.exchange import RunningExchange

__all__ = ["RunningExchange"]
