"""Long-running parts: their shape (``Role``), their sign of life, and the command around them."""

from ingestion.roles.role import Pulse, Role

__all__ = ["Pulse", "Role"]
