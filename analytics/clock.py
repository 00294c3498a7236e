"""The clock of leases, claims and waits, under the name that this app uses."""

from ingestion.clock import later, now

__all__ = ["later", "now"]
