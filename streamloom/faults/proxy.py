"""A TCP proxy that can lose answers: the server has done it, and nobody is told."""

import socket
import threading
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit, urlunsplit

_CHUNK: Final = 65_536


class LosingProxy:
    """Passes everything between clients and one server; cuts ``to_lose`` connections whose request was an insert."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 8123)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=f"127.0.0.1:{port}"))
        self.to_lose = 0
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._server, timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        state = {"insert": False}
        threading.Thread(target=self._upwards, args=(client, server, state), daemon=True).start()
        self._downwards(client, server, state)

    def _upwards(self, client: socket.socket, server: socket.socket, state: dict[str, bool]) -> None:
        try:
            while data := client.recv(_CHUNK):
                if b"INSERT" in data[:4096]:
                    state["insert"] = True
                server.sendall(data)
        except OSError:
            return
        finally:
            _shut(server)

    def _downwards(self, client: socket.socket, server: socket.socket, state: dict[str, bool]) -> None:
        try:
            while data := server.recv(_CHUNK):
                if state["insert"] and self.to_lose > 0:
                    self.to_lose -= 1
                    self.lost += 1
                    break
                state["insert"] = False
                client.sendall(data)
        except OSError:
            return
        finally:
            _shut(client)
            _shut(server)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
