"""A client of the socket that stays for the whole run and comes back with its cursor after every cut."""

import json
import threading
from typing import Any, Final

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

_AGAIN_S: Final = 0.3
_SILENCE_S: Final = 15.0

Json = dict[str, Any]


class Listener(threading.Thread):
    """Subscribes to the minutes of ``symbols`` and keeps every closed candle as it was last told."""

    def __init__(self, url: str, symbols: tuple[str, ...]) -> None:
        super().__init__(name="listener", daemon=True)
        self._url = f"{url.replace('http', 'ws')}/ws"
        self._symbols = symbols
        self._cursors: dict[str, str] = {}
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._told: dict[tuple[str, int], Json] = {}
        self._seen: set[tuple[str, str]] = set()
        self.repeated: list[tuple[str, int]] = []
        self.refused: list[str] = []
        self.closings: list[int] = []
        self.begun: dict[str, int] = {}
        # A control: come back without the cursor and without looking at what is sent first.
        self.forgets = False

    def stop(self) -> None:
        """Leave."""
        self._over.set()
        if self.is_alive():
            self.join(5)

    def told(self) -> dict[tuple[str, int], Json]:
        """(symbol, open time) → the closed candle as it was last told."""
        with self._guard:
            return dict(self._told)

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self._listen()
            except (OSError, WebSocketException, TimeoutError):
                self._over.wait(_AGAIN_S)

    def _listen(self) -> None:
        with connect(self._url, open_timeout=5, close_timeout=1, max_size=None) as socket:
            try:
                self._subscribe(socket)
                while not self._over.is_set():
                    self._take(json.loads(socket.recv(timeout=_SILENCE_S)))
            finally:
                if socket.close_code is not None:
                    self.closings.append(socket.close_code)

    def _subscribe(self, socket: ClientConnection) -> None:
        for number, symbol in enumerate(self._symbols):
            wish = {"op": "subscribe", "id": number, "channel": "candles", "symbol": symbol, "interval": "1m"}
            cursor = None if self.forgets else self._cursors.get(symbol)
            since = {} if cursor is None else {"since": cursor}
            socket.send(json.dumps(wish | since))

    def _take(self, message: Json) -> None:
        kind = message["type"]
        if kind == "error":
            self.refused.append(f"{message['code']}: {message['detail']}")
            if message["code"] != "backend_unavailable":
                # Without the cursor from now on: what was missed shows in the comparison.
                self._cursors.clear()
            raise TimeoutError
        if kind == "snapshot" and not self.forgets:
            for candle in message["candles"]:
                self._keep(message["symbol"], candle)
        if kind == "candle":
            self._keep(message["symbol"], message["candle"], message["cursor"])
        if kind in ("candle", "snapshot"):
            self._cursors[message["symbol"]] = message["cursor"]

    def _keep(self, symbol: str, candle: Json, cursor: str | None = None) -> None:
        if candle["state"] == "forming":
            return
        at = candle["open_time"]
        self.begun.setdefault(symbol, at)
        with self._guard:
            self._told[symbol, at] = candle
        if cursor is None:
            return
        if (symbol, cursor) in self._seen:
            self.repeated.append((symbol, at))
        self._seen.add((symbol, cursor))
