"""The ASGI application: ``/ping``, and every other path is a statement."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog

from analytics.clickhouse.devserver import encoding
from analytics.clickhouse.devserver.engine import Answer, Engine, EngineError
from analytics.clickhouse.devserver.request import BadRequest, Call, read_call

logger = structlog.get_logger(__name__)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# More at once only wait for the engine's own threads.
_AT_ONCE: Final = 8
# ClickHouse's numbers, as its HTTP interface maps them; any other is a 500.
_STATUS: Final = {
    **dict.fromkeys((6, 25, 26, 27, 38, 41, 53, 62, 72, 117, 469), 400),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 81, 115, 336), 404),
    159: 408,
    48: 501,
}
_TYPES: Final = {"TabSeparated": "text/tab-separated-values; charset=UTF-8"}


class DevServer:
    """Answers ClickHouse's HTTP interface from one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="statement")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. The lifespan of the process is not of interest here."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        body = await _read_body(receive)
        if scope["path"] in ("/ping", "/replicas_status"):
            await _answer(send, 200, b"Ok.\n", {})
            return
        await self._statement(scope, body, send)

    async def _statement(self, scope: Scope, body: bytes, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            call = read_call(scope["method"], scope["query_string"].decode("latin-1"), headers, body)
        except BadRequest as error:
            await self._refuse(send, error.code, f"Code: {error.code}. DB::Exception: {error}.", "")
            return
        query_id = call.query_id or str(uuid.uuid4())
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._threads, self._engine.run, call)
        except EngineError as error:
            logger.debug("statement_refused", code=error.code, error=str(error), query_id=query_id)
            await self._refuse(send, error.code, str(error), query_id)
            return
        await self._tell(send, call, answer, query_id)

    async def _tell(self, send: Send, call: Call, answer: Answer, query_id: str) -> None:
        headers = {
            "X-ClickHouse-Summary": json.dumps(answer.summary),
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": call.settings.get("session_timezone") or self._engine.timezone,
            "X-ClickHouse-Server-Display-Name": "streamloom development server",
        }
        if answer.format:
            headers["X-ClickHouse-Format"] = answer.format
            headers["Content-Type"] = _TYPES.get(answer.format, "application/octet-stream")
        if call.answer_encoding:
            headers["Content-Encoding"] = call.answer_encoding
        await _answer(send, 200, encoding.pack(answer.body, call.answer_encoding), headers)

    async def _refuse(self, send: Send, code: int, message: str, query_id: str) -> None:
        body = f"{message} (version {self._engine.version} (chDB, development server))\n"
        headers = {"X-ClickHouse-Exception-Code": str(code), "X-ClickHouse-Query-Id": query_id}
        await _answer(send, _STATUS.get(code, 500), body.encode(), headers)


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _read_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _answer(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    lines = {"Content-Type": "text/plain; charset=UTF-8", **headers, "Content-Length": str(len(body))}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
