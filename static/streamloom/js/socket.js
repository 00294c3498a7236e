/** One WebSocket to `/ws` that keeps itself open and one candle subscription on it. */

// The server ticks every 5 s. Two missed ticks and a little: the line is dead even if nobody has said so.
const SILENCE_MS = 12_000;
const FIRST_DELAY_MS = 1_000;
const LONGEST_DELAY_MS = 30_000;
const REFUSED_DELAY_MS = 30_000;

const CLOSE_NOT_AUTHENTICATED = 4401;
const CLOSE_TOO_MANY = 4429;

/** How long to wait before the next attempt: doubling, capped, with jitter so that a restart is not met by a stampede. */
export function retryDelay(attempt, random) {
  const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** attempt);
  return ceiling * (0.5 + random() / 2);
}

/**
 * Tells its listener: `onSnapshot(message)`, `onCandle(message)`, `onError(message)` of the symbol and interval watched
 * now, and `onState({phase, retryAt, lastMessageAt})` with phase "connecting", "open", "waiting" or "refused".
 */
export class LiveSocket {
  #socket = null;
  #watched = null;
  #attempt = 0;
  #lastMessageAt = null;
  #retryTimer = null;

  constructor(listener, { url = socketUrl(), random = Math.random, now = Date.now } = {}) {
    this.listener = listener;
    this.url = url;
    this.random = random;
    this.now = now;
    setInterval(() => this.#watchForSilence(), 1_000);
    addEventListener("online", () => this.reconnect());
  }

  /** Show candles of this symbol and interval from now on; a snapshot follows. */
  watch(symbol, interval) {
    if (this.#watched) this.#send({ op: "unsubscribe", id: 1, channel: "candles", ...this.#watched });
    this.#watched = { symbol, interval };
    if (!this.#socket && !this.#retryTimer) this.#connect();
    else this.#subscribe();
  }

  /** Try at once instead of waiting for the next turn. Does nothing while the line is up. */
  reconnect() {
    if (this.#socket || !this.#watched) return;
    clearTimeout(this.#retryTimer);
    this.#connect();
  }

  #connect() {
    this.#retryTimer = null;
    this.#tell("connecting");
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    this.#heardFrom();
    socket.onopen = () => this.#opened(socket);
    socket.onmessage = (event) => this.#received(socket, event.data);
    socket.onclose = (event) => this.#lost(socket, event.code);
  }

  #opened(socket) {
    if (socket !== this.#socket) return;
    this.#heardFrom();
    this.#subscribe();
    this.#tell("open");
  }

  #received(socket, text) {
    if (socket !== this.#socket) return;
    this.#attempt = 0;
    this.#heardFrom();
    const message = JSON.parse(text);
    if (message.type === "error") this.listener.onError(message);
    else if (this.#isWatched(message)) this.#dispatch(message);
  }

  #dispatch(message) {
    if (message.type === "snapshot") this.listener.onSnapshot(message);
    else if (message.type === "candle") this.listener.onCandle(message);
  }

  #isWatched({ symbol, interval }) {
    return symbol === this.#watched?.symbol && interval === this.#watched?.interval;
  }

  #lost(socket, code) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    if (code === CLOSE_NOT_AUTHENTICATED) return this.#tell("refused");
    const delay = code === CLOSE_TOO_MANY ? REFUSED_DELAY_MS : retryDelay(this.#attempt, this.random);
    this.#attempt += 1;
    this.#retryTimer = setTimeout(() => this.#connect(), delay);
    this.#tell("waiting", this.now() + delay);
  }

  #watchForSilence() {
    const socket = this.#socket;
    if (!socket || this.now() - this.#openedOrHeardAt < SILENCE_MS) return;
    socket.close();
    // A dead line may take minutes to finish its closing handshake: do not wait for it.
    this.#lost(socket, 0);
  }

  #openedOrHeardAt = 0;

  #heardFrom() {
    this.#openedOrHeardAt = this.now();
    if (this.#socket?.readyState === WebSocket.OPEN) this.#lastMessageAt = this.now();
  }

  #subscribe() {
    this.#send({ op: "subscribe", id: 2, channel: "candles", ...this.#watched });
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #tell(phase, retryAt = null) {
    this.listener.onState({ phase, retryAt, lastMessageAt: this.#lastMessageAt });
  }
}

function socketUrl() {
  return `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/ws`;
}
