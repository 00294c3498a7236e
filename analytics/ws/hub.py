"""One per process: who wants which topic, fed by the process's tail of the log. Lives on the web server's loop."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from analytics.reading.view import LiveView, Tailed
from analytics.ws import messages, metrics
from analytics.ws.config import SocketLimits
from analytics.ws.feeds import Feed, FoldedFeed, MinuteFeed, TradeFeed
from analytics.ws.messages import Channel, Message, Topic
from analytics.ws.outbox import TOO_SLOW, Outbox
from analytics.ws.reads import Reads
from analytics.ws.second_feed import SecondFeed
from ingestion.log import topics
from markets.types import Interval

logger = structlog.get_logger(__name__)

_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.2, 10.0
_READERS = 4


class Subscription:
    """One connection's interest in one topic. Until ``release`` it holds what comes, then passes it on."""

    def __init__(self, topic: Topic, outbox: Outbox, most_held: int) -> None:
        self.topic = topic
        self._outbox = outbox
        self._most_held = most_held
        self._held: list[Message] | None = []
        self._forming: dict[Any, Message] = {}
        self._after = 0

    def put(self, message: Message) -> None:
        if self._held is None:
            self._pass(message)
        elif message.key is not None:
            self._forming[message.key] = message
        elif len(self._held) < self._most_held:
            self._held.append(message)
        else:
            self._outbox.close(TOO_SLOW)

    def release(self, after: int) -> None:
        """Go live: what was made from records before ``after`` is there already."""
        held, self._held, self._after = self._held or [], None, after
        for message in (*held, *self._forming.values()):
            self._pass(message)
        self._forming.clear()

    def _pass(self, message: Message) -> None:
        if not message.seq or message.seq > self._after or message.key is not None:
            self._outbox.put(message)


class Client:
    """A connection as the hub sees it: its outbox, and since when a send has not come back (loop time)."""

    def __init__(self, limits: SocketLimits, on_stuck: Callable[[], None]) -> None:
        self.outbox = Outbox(limits.outbox_messages, limits.outbox_chars)
        self.on_stuck = on_stuck
        self.sending_since: float | None = None
        self.subscriptions: dict[Topic, Subscription] = {}


class Hub:
    """Topics, their feeds and their subscribers. Every method but ``on_batch`` is called on its loop."""

    def __init__(self, reads: Reads, view: LiveView, epoch: Callable[[str], int], limits: SocketLimits) -> None:
        """``epoch(topic)``: the log's."""
        self.reads, self.view, self.epoch, self.limits = reads, view, epoch, limits
        self.loop = asyncio.get_running_loop()
        self.clients: set[Client] = set()
        self._feeds: dict[Topic, Feed] = {}
        self._subscribers: dict[Topic, set[Subscription]] = {}
        # Read by the tail's thread: replaced as a whole, never changed.
        self._wanted: frozenset[str] = frozenset()
        self._told_at: dict[Topic, float] = {}
        self._moved: set[Topic] = set()
        self._flush: asyncio.TimerHandle | None = None
        self._asking: dict[Topic, asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="ws-read")
        self._jitter = random.Random()  # noqa: S311 - not a secret
        self._timer: asyncio.Task[None] | None = None

    # --- connections -----------------------------------------------------------------------------

    def join(self, client: Client) -> bool:
        """False when the process has as many connections as it takes."""
        if len(self.clients) >= self.limits.connections:
            metrics.TOO_MANY.inc()
            return False
        self.clients.add(client)
        metrics.CONNECTIONS.set(len(self.clients))
        if self._timer is None or self._timer.done():
            self._timer = asyncio.create_task(self._keep_time())
        return True

    def leave(self, client: Client) -> None:
        for topic in list(client.subscriptions):
            self.unsubscribe(client, topic)
        self.clients.discard(client)
        metrics.CONNECTIONS.set(len(self.clients))
        client.outbox.close(1000)

    def subscribe(self, client: Client, topic: Topic) -> Subscription:
        """Register at once; the messages are held until the subscription is released."""
        self.unsubscribe(client, topic)
        subscription = Subscription(topic, client.outbox, self.limits.outbox_messages)
        client.subscriptions[topic] = subscription
        self._subscribers.setdefault(topic, set()).add(subscription)
        metrics.SUBSCRIPTIONS.inc()
        if topic not in self._feeds:
            self._feeds[topic] = self._make_feed(topic)
            self._wanted = frozenset(known.symbol for known in self._feeds)
            self._ask(topic)
        return subscription

    def unsubscribe(self, client: Client, topic: Topic) -> None:
        """Forget the subscription, and the whole feed with its last subscriber: unwanted topics cost nothing."""
        subscription = client.subscriptions.pop(topic, None)
        if subscription is None:
            return
        metrics.SUBSCRIPTIONS.dec()
        self._subscribers[topic].discard(subscription)
        if self._subscribers[topic]:
            return
        del self._subscribers[topic], self._feeds[topic]
        self._told_at.pop(topic, None)
        self._moved.discard(topic)
        self._wanted = frozenset(known.symbol for known in self._feeds)

    async def read(self, ask: Callable[[Reads], Any]) -> Any:
        """The answer of a blocking question, asked in a thread of the hub's own."""
        return await self.loop.run_in_executor(self._threads, ask, self.reads)

    def _make_feed(self, topic: Topic) -> Feed:
        return make_feed(topic, self.view, self.epoch)

    # --- records ---------------------------------------------------------------------------------

    def on_batch(self, batch: Sequence[Tailed]) -> None:
        """For the tail's thread: one hop to the loop for each batch that somebody wants."""
        wanted = self._wanted
        if not wanted:
            return
        by_symbol: dict[str, list[Tailed]] = {}
        for tailed in batch:
            if tailed.stored.key in wanted:
                by_symbol.setdefault(tailed.stored.key, []).append(tailed)
        if by_symbol and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._take, by_symbol)

    def _take(self, by_symbol: dict[str, list[Tailed]]) -> None:
        for topic, feed in list(self._feeds.items()):
            batch = by_symbol.get(topic.symbol)
            if batch:
                self._send(topic, feed.take(batch))
                self._moved.add(topic)
                self._ask(topic)
        self._tell_forming()

    def _send(self, topic: Topic, made: Sequence[Message]) -> None:
        metrics.MADE.inc(len(made))
        subscribers = tuple(self._subscribers.get(topic, ()))
        for message in made:
            for subscription in subscribers:
                subscription.put(message)

    def _tell_forming(self) -> None:
        """Tell the forming candles that are due; the others when their time comes."""
        now = self.loop.time()
        due = [t for t in self._moved if now - self._told_at.get(t, 0.0) >= self.limits.forming_s]
        for topic in due:
            self._moved.discard(topic)
            made = self._feeds[topic].forming()
            if made:
                self._told_at[topic] = now
                self._send(topic, made)
        if self._moved and self._flush is None:
            first = min(self._told_at.get(topic, 0.0) for topic in self._moved)
            self._flush = self.loop.call_at(first + self.limits.forming_s, self._flushed)

    def _flushed(self) -> None:
        self._flush = None
        self._tell_forming()

    # --- questions -------------------------------------------------------------------------------

    def _ask(self, topic: Topic) -> None:
        """Let the feed's questions be answered, one after the other."""
        feed = self._feeds[topic]
        task = self._asking.get(topic)
        if (task is not None and not task.done()) or (question := feed.question()) is None:
            return
        self._asking[topic] = asyncio.create_task(self._answer(topic, feed, question))

    async def _answer(self, topic: Topic, feed: Feed, question: Any) -> None:
        delay = _FIRST_DELAY_S
        while question is not None and self._feeds.get(topic) is feed:
            try:
                answer = await self.read(question.ask)
            except Exception as error:  # noqa: BLE001 - the top of this task: stores may be away for minutes
                question.give_up()
                self._note_failure(topic, error, delay)
                await asyncio.sleep(delay * self._jitter.uniform(0.5, 1.5))
                delay = min(delay * 2, _LONGEST_DELAY_S)
            else:
                delay = _FIRST_DELAY_S
                self._send(topic, question.take(answer))
                if topic in self._feeds:
                    self._moved.add(topic)
                    self._tell_forming()
            question = feed.question()
        self._asking.pop(topic, None)
        if topic in self._feeds:
            self._ask(topic)

    def _note_failure(self, topic: Topic, error: Exception, delay: float) -> None:
        metrics.READ_FAILURES.inc()
        logger.warning(
            "ws_read_failed",
            topic=messages.named(topic),
            error=repr(error),
            retry_in_s=round(delay, 1),
            what_to_do="check ClickHouse and the log; subscribers of this topic wait meanwhile",
        )

    # --- time ------------------------------------------------------------------------------------

    async def _keep_time(self) -> None:
        """Tick, and let go of clients whose send does not come back; ends with the last connection."""
        ticked = self.loop.time()
        while self.clients:
            await asyncio.sleep(min(1.0, self.limits.tick_s, self.limits.send_timeout_s / 4))
            now = self.loop.time()
            if now - ticked >= self.limits.tick_s:
                ticked = now
                text = messages.tick(now_ms())
                for client in self.clients:
                    client.outbox.put(Message(text, key="tick"))
            for client in tuple(self.clients):
                if self._is_stuck(client, now):
                    client.on_stuck()

    def _is_stuck(self, client: Client, now: float) -> bool:
        """A send is out for too long, or for as long as it took to fill the outbox behind it."""
        since = client.sending_since
        if since is None:
            return False
        return client.outbox.close_code is not None or now - since > self.limits.send_timeout_s


def make_feed(topic: Topic, view: LiveView, epoch: Callable[[str], int]) -> Feed:
    """The feed of a topic."""
    if topic.channel == Channel.ALERTS:
        return Feed(topic, view, 0)
    if topic.channel == Channel.TRADES:
        return TradeFeed(topic, view, epoch(topics.ENRICHED_TRADES.name))
    kind = {Interval.S1: SecondFeed, Interval.M1: MinuteFeed}.get(topic.interval, FoldedFeed)
    return kind(topic, view, epoch(topics.CANDLES_1M.name))


def now_ms() -> int:
    """The machine's clock: for ticks and pongs, never for data."""
    return time.time_ns() // 1_000_000
