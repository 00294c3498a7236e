"""The WebSocket endpoints: ``/ws``, ``/ws/<streams>``, ``/stream``, ``/stream?streams=``."""

from starlette.websockets import WebSocket, WebSocketDisconnect

from ingestion.binance.simulator.pump import Pump, Reader
from ingestion.binance.simulator.talk import Refused, Talk
from ingestion.binance.simulator.wire import EXTENSION, Wire, frame

_POLICY = 1008


async def serve_socket(socket: WebSocket, pump: Pump, *, combined: bool) -> None:
    """Carry one connection from its handshake to its end."""
    wire: Wire = socket.scope["extensions"][EXTENSION]["wire"]
    asked, microseconds = _asked_by_url(socket)
    talk = Talk(combined=combined, microseconds=microseconds)
    await socket.accept()
    reader = Reader(wire, talk)
    pump.join(reader)
    try:
        pump.subscribe(reader, talk.subscribe(asked))
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            _answer(reader, pump, message.get("text") or "")
    except Refused as refused:
        wire.close(_POLICY, refused.msg)
    except WebSocketDisconnect:
        return
    finally:
        pump.leave(reader)


def _answer(reader: Reader, pump: Pump, text: str) -> None:
    reply = reader.talk.hear(text)
    # Streams stop before and start after the reply, so that the reply marks the place of the change.
    pump.unsubscribe(reader, reply.unsubscribed)
    reader.wire.write([frame(reply.text)])
    pump.subscribe(reader, reply.subscribed)
    if reply.closes:
        reader.wire.close(_POLICY, "Invalid request")


def _asked_by_url(socket: WebSocket) -> tuple[list[str], bool]:
    """The streams of the address (parts that are no stream name are let pass), and its time unit."""
    # Some clients write a second "?" where "&" belongs.
    query = socket.url.query.replace("?", "&")
    params = dict(part.partition("=")[::2] for part in query.split("&"))
    streams = socket.query_params.get("streams", "").split("?")[0]
    tail = socket.path_params.get("tail", "")
    names = [name for name in f"{tail}/{streams}".split("/") if "@" in name]
    return names, params.get("timeUnit", "").lower() == "microsecond"
