/** Candles of the chosen symbol and interval: history by REST, live by socket, put together in one store. */

import * as api from "./api.js";
import { CandleStore } from "./candles.js";
import { LiveSocket } from "./socket.js";

const PAGE = 500;
const MOST_PAGE = 5_000;
// Redrawing a candle costs more the more of them are loaded (0.2 ms at 5,000): beyond this a wider interval serves better.
const MOST_LOADED = 10_000;
const COVERAGE_EVERY_MS = 5_000;
const PAST_AFTER_MS = 400;
const LONGEST_RETRY_MS = 15_000;

/**
 * Tells its listener: `onReset(store)` for a new view, `onRows(store, {older})` when many rows changed,
 * `onRow(row)` for one live row, `onCoverage(block)`, `onProblem(problem|null)` with `{code, detail}`,
 * and `onConnection(state)` of the socket.
 */
export class CandleFeed {
  #abort = new AbortController();
  #isPaging = false;
  #isExhausted = false;
  #wasSnapshotSeen = false;
  #pastTimer = null;

  constructor(listener) {
    this.listener = listener;
    this.socket = new LiveSocket({
      onSnapshot: (message) => this.#snapshot(message),
      onCandle: (message) => this.#live(message.candle),
      onError: (message) => this.#refused(message),
      onState: (state) => listener.onConnection(state),
    });
    setInterval(() => this.refreshCoverage(), COVERAGE_EVERY_MS);
  }

  /** Show another symbol or interval; `range` ({from, to} in ms) asks for a span of the past as well. */
  async open(symbol, interval, range = null) {
    this.#abort.abort();
    this.#abort = new AbortController();
    Object.assign(this, { symbol, interval, store: new CandleStore(interval) });
    this.#isPaging = this.#isExhausted = this.#wasSnapshotSeen = false;
    this.listener.onReset(this.store);
    this.socket.watch(symbol, interval);
    await this.#fetch({ limit: PAGE });
    if (range) await this.#reachBack(range.from);
  }

  /** Load the page before the oldest candle, unless that is under way or nothing older is kept. */
  async older(limit = PAGE) {
    if (this.#isPaging || this.#isExhausted || !this.store?.size) return;
    if (this.store.size >= MOST_LOADED) return;
    this.#isPaging = true;
    try {
      const rows = await this.#fetch({ to: this.store.first.open_time, limit });
      this.#isExhausted = rows?.length === 0;
    } finally {
      this.#isPaging = false;
    }
  }

  /** Ask again what is missing in the loaded range. */
  async refreshCoverage() {
    if (!this.symbol || document.hidden) return;
    const { signal } = this.#abort;
    try {
      this.#covered(await api.coverage({ symbol: this.symbol, from: this.store.first?.open_time }, signal));
    } catch (error) {
      // The connection badge and the next turn speak for a server that is away.
      if (!(error instanceof api.ApiError) && error.name !== "AbortError") throw error;
    }
  }

  #covered(block) { this.listener.onCoverage(block); }

  async #reachBack(from) {
    const { store } = this;
    const isWanted = () => store === this.store && store.size && store.first.open_time > from;
    while (isWanted() && !this.#isExhausted && store.size < MOST_LOADED) await this.older(MOST_PAGE);
  }

  /** Fetch a page into the store, trying until it comes or the view changes. Returns its rows, or null when given up. */
  async #fetch(query) {
    const { signal } = this.#abort;
    const store = this.store;
    const answer = await this.#persist(() => api.candles({ symbol: this.symbol, interval: this.interval, ...query }, signal), signal);
    if (!answer || store !== this.store) return null;
    const isOlder = query.to !== undefined;
    store.merge(answer.candles);
    this.listener.onRows(store, { older: isOlder });
    if (!isOlder) this.#covered(answer.coverage);
    this.listener.onProblem(store.size ? null : { code: "empty" });
    return answer.candles;
  }

  async #persist(ask, signal) {
    for (let wait = 1_000; !signal.aborted; wait = Math.min(2 * wait, LONGEST_RETRY_MS)) {
      try {
        return await ask();
      } catch (error) {
        if (error.name === "AbortError") return null;
        if (!(error instanceof api.ApiError)) throw error;
        this.listener.onProblem({ code: error.code, detail: error.message });
        if (!error.isTransient) return null;
        await pause(error.retryAfterS ? error.retryAfterS * 1_000 : wait);
      }
    }
    return null;
  }

  #snapshot(message) {
    const heldUntil = this.store.last?.open_time;
    this.store.replace(message.candles);
    if (message.candles.length) this.listener.onProblem(null);
    this.listener.onRows(this.store, { older: false });
    if (this.#wasSnapshotSeen && heldUntil !== undefined) this.#fillFrom(heldUntil);
    this.#wasSnapshotSeen = true;
  }

  /** After a reconnect: what closed while the line was down and is older than the snapshot. */
  async #fillFrom(heldUntil) {
    await this.#fetch({ from: heldUntil, limit: MOST_PAGE });
    this.refreshCoverage();
  }

  #live(row) {
    if (this.store.size && row.open_time < this.store.first.open_time) return this.#pastCame();
    if (this.store.merge([row]).length === 0) return;
    if (this.store.size === 1) this.listener.onProblem(null);
    this.listener.onRow(row);
  }

  /**
   * A candle older than all that is loaded: history is coming in (the first start, a backfill). Where the chart ends
   * for want of older candles it is fetched; otherwise it waits for the reader to scroll there.
   */
  #pastCame() {
    if (this.#pastTimer || (!this.#isExhausted && this.store.size >= PAGE)) return;
    this.#pastTimer = setTimeout(() => {
      this.#pastTimer = null;
      this.#isExhausted = false;
      this.older();
    }, PAST_AFTER_MS);
  }

  #refused({ code, detail }) {
    if (code === "unknown_symbol" || code === "bad_interval") this.listener.onProblem({ code, detail });
  }
}

function pause(ms) {
  return new Promise((resolve) => { setTimeout(resolve, ms); });
}
