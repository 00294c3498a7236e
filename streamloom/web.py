"""How the web server is run, in the demo's thread and in a process of its own."""

from typing import Any, Final

APPLICATION: Final = "streamloom.asgi:application"
# Clients say little; a frame beyond this is refused before it is held in memory.
LARGEST_MESSAGE: Final = 65_536


def server_options() -> dict[str, Any]:
    """uvicorn's options, wherever it listens. Our own logging is set up by Django, so uvicorn sets up none."""
    return {
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "ws": "websockets-sansio",
        "ws_max_size": LARGEST_MESSAGE,
        "ws_per_message_deflate": False,
        "timeout_graceful_shutdown": 3,
    }
