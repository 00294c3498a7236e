"""One socket: requests in, the outbox out. It computes nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from channels.generic.websocket import AsyncWebsocketConsumer

from analytics.reading.candles import candle_json
from analytics.reading.cursor import CANDLES, Cursor, encode, split_seq
from analytics.ws import messages, metrics
from analytics.ws.hub import Client, Hub, Subscription, now_ms
from analytics.ws.messages import Code, Message, Refused, Subscribe, Topic, Unsubscribe
from analytics.ws.outbox import TOO_SLOW
from analytics.ws.pace import Pace
from analytics.ws.process import process_hub
from analytics.ws.replay import TooOld, now_cursor, read_cursor, replay, too_old
from markets.types import Interval

logger = structlog.get_logger(__name__)

TOO_MANY_CONNECTIONS: Final = 4429
# A client that does not read does not answer the closing handshake either.
_CLOSE_WAIT_S: Final = 5.0


class MarketSocket(AsyncWebsocketConsumer):
    """A client of ``/ws``; with ``symbol`` and ``interval`` in the path it is subscribed at once."""

    def __init__(self, *args: Any, open_hub: Callable[[], Awaitable[Hub]] = process_hub, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open_hub = open_hub
        self._client: Client | None = None
        self._tasks: dict[Topic | str, asyncio.Task[None]] = {}

    async def connect(self) -> None:
        await self.accept()
        self._hub = await self._open_hub()
        limits = self._hub.limits
        client = Client(limits, self._stuck)
        if not self._hub.join(client):
            await self.close(TOO_MANY_CONNECTIONS)
            return
        self._client = client
        self._pace = Pace(limits.inbound_burst, limits.inbound_per_s, self._hub.loop.time())
        self._tasks["sender"] = asyncio.create_task(self._send_all(client))
        await self._subscribe_by_path(self.scope.get("url_route", {}).get("kwargs", {}))

    async def disconnect(self, code: int) -> None:
        for task in self._tasks.values():
            task.cancel()
        if self._client is not None:
            self._hub.leave(self._client)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self._client is None:
            return
        # Too many requests are not refused, they wait: the socket is not read meanwhile.
        wait_s = self._pace.wait(self._hub.loop.time())
        if wait_s:
            await asyncio.sleep(wait_s)
        await self._serve(messages.decode(text_data))

    # --- requests --------------------------------------------------------------------------------

    async def _subscribe_by_path(self, path: dict[str, str]) -> None:
        if path:
            topic = messages.topic_of("candles", path["symbol"], path["interval"])
            await self._serve(topic if isinstance(topic, Refused) else Subscribe(None, topic))

    async def _serve(self, request: messages.Request | Refused) -> None:
        match request:
            case Refused():
                self._refuse(request)
            case Subscribe():
                await self._subscribe(request)
            case Unsubscribe(id_, topic):
                self._drop(topic)
                self._tell(messages.unsubscribed(id_))
            case messages.ListSubscriptions(id_):
                self._tell(messages.subscriptions(id_, list(self._joined.subscriptions)))
            case messages.Ping(id_):
                self._tell(messages.pong(id_, now_ms()))

    async def _subscribe(self, request: Subscribe) -> None:
        refusal = await self._why_not(request)
        if refusal is not None:
            self._refuse(refusal)
            return
        self._drop(request.topic)
        subscription = self._hub.subscribe(self._joined, request.topic)
        self._tasks[request.topic] = asyncio.create_task(self._go_live(request, subscription))

    async def _why_not(self, request: Subscribe) -> Refused | None:
        topic, held = request.topic, self._joined.subscriptions
        if topic not in held and len(held) >= self._hub.limits.subscriptions:
            most = f"A connection has at most {self._hub.limits.subscriptions} subscriptions."
            return Refused(request.id, Code.TOO_MANY_SUBSCRIPTIONS, most)
        if request.since is not None:
            cursor = read_cursor(request.since, topic, request.id)
            if isinstance(cursor, Refused):
                return cursor
        if topic in held or not topic.symbol:
            return None
        try:
            is_known = await self._hub.read(lambda reads: reads.knows(topic.symbol))
        except Exception as error:  # noqa: BLE001 - whatever the database raises, the client is told and may retry
            logger.warning("ws_symbol_unread", error=repr(error), what_to_do="check the database")
            return _unavailable(request)
        return None if is_known else Refused(request.id, Code.UNKNOWN_SYMBOL, "No symbol of this name is known.")

    def _drop(self, topic: Topic) -> None:
        task = self._tasks.pop(topic, None)
        if task is not None:
            task.cancel()
        self._hub.unsubscribe(self._joined, topic)

    # --- from request to live --------------------------------------------------------------------

    async def _go_live(self, request: Subscribe, subscription: Subscription) -> None:
        """What is there already, then what comes: the subscription holds its messages until this is done."""
        topic = request.topic
        try:
            if request.since is not None:
                await self._catch_up(request, subscription)
            elif topic.interval is not None:
                await self._snapshot(request, subscription)
            else:
                cursor, seq = now_cursor(self._hub, topic)
                self._tell(messages.subscribed(request.id, topic, cursor))
                subscription.release(seq)
        except TooOld:
            self._give_up(topic, too_old(request.since or "", topic, request.id))
        except Exception as error:  # noqa: BLE001 - the task's top: a store that is away must not close the socket
            logger.warning(
                "ws_subscription_failed",
                topic=messages.named(topic),
                error=repr(error),
                what_to_do="check ClickHouse and the log; the client was told to try again",
            )
            self._give_up(topic, _unavailable(request))

    async def _snapshot(self, request: Subscribe, subscription: Subscription) -> None:
        topic = request.topic
        cursor, _ = now_cursor(self._hub, topic)
        self._tell(messages.subscribed(request.id, topic, cursor))
        assert topic.interval is not None
        interval = topic.interval
        page = await self._hub.read(lambda reads: reads.page(topic.symbol, interval))
        place = Cursor(topic.symbol, CANDLES, interval.value, page.place, page.seq)
        self._tell(messages.snapshot(topic, [candle_json(view) for view in page.candles], encode(place)))
        subscription.release(page.place if interval is Interval.S1 else page.seq)

    async def _catch_up(self, request: Subscribe, subscription: Subscription) -> None:
        topic = request.topic
        cursor = read_cursor(request.since or "", topic, request.id)
        assert isinstance(cursor, Cursor)
        # Read after the registration: what comes from here on is held.
        _, end = now_cursor(self._hub, topic)
        if _is_behind(end, cursor.seq):
            self._give_up(topic, _unavailable(request))
            return
        reached, is_told = cursor.place, False
        async for made in replay(self._hub, topic, cursor, end):
            if not is_told:
                self._tell(messages.subscribed(request.id, topic, request.since))
                is_told = True
            for message in made:
                self._joined.outbox.put(message)
                reached = max(reached, message.seq)
            if not await self._joined.outbox.has_room():
                return
        subscription.release(reached if topic.interval is Interval.S1 else end)

    def _give_up(self, topic: Topic, refusal: Refused) -> None:
        # Not by _drop: this is the topic's own task.
        self._tasks.pop(topic, None)
        self._hub.unsubscribe(self._joined, topic)
        self._refuse(refusal)

    # --- to the client ---------------------------------------------------------------------------

    @property
    def _joined(self) -> Client:
        assert self._client is not None
        return self._client

    def _tell(self, text: str) -> None:
        self._joined.outbox.put(Message(text))

    def _refuse(self, refusal: Refused) -> None:
        metrics.REFUSED.labels(refusal.code).inc()
        self._tell(messages.refused(refusal))

    async def _send_all(self, client: Client) -> None:
        """Send what waits, one after the other; a full outbox ends it."""
        while (text := await client.outbox.next()) is not None:
            client.sending_since = self._hub.loop.time()
            try:
                await self.send(text_data=text)
            except OSError:
                # The client has gone; ``disconnect`` follows.
                return
            client.sending_since = None
            metrics.SENT.inc()
        if client.outbox.close_code == TOO_SLOW:
            await self._close_slow()

    def _stuck(self) -> None:
        """A send does not come back: the hub has waited long enough."""
        client = self._joined
        if client.outbox.close_code is None:
            client.outbox.close(TOO_SLOW)
        sender = self._tasks.get("sender")
        if sender is not None and "closer" not in self._tasks:
            sender.cancel()
            self._tasks["closer"] = asyncio.create_task(self._close_slow())

    async def _close_slow(self) -> None:
        metrics.TOO_SLOW.inc()
        logger.info("ws_client_too_slow", what_to_do="nothing: the client reconnects with its cursor")
        self._hub.leave(self._joined)
        try:
            async with asyncio.timeout(_CLOSE_WAIT_S):
                await self.close(TOO_SLOW)
        except (TimeoutError, OSError) as error:
            logger.info("ws_close_unanswered", error=repr(error), what_to_do="nothing: the server's ping ends it")


def _unavailable(request: Subscribe) -> Refused:
    return Refused(request.id, Code.BACKEND_UNAVAILABLE, "A store is away: subscribe again in a few seconds.")


def _is_behind(seq: int, since: int) -> bool:
    """True when the client has heard from another process, or a former one, what this one has still to read."""
    (life, place), (same_life, heard) = split_seq(seq), split_seq(since)
    return life == same_life and place < heard
