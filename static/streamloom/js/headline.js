/** The last price, in the page and in the tab's title, and the day in four figures. */

import * as api from "./api.js";
import { arrow, compact, exact, signedPercent } from "./format.js";

const DAY_HOURS = 24;
const DAY_EVERY_MS = 30_000;
const SPOKEN_EVERY_MS = 10_000;

export class Headline {
  #spokenAt = 0;

  constructor({ price, spoken, day }) {
    Object.assign(this, { price, spoken, day });
    setInterval(() => this.refreshDay(), DAY_EVERY_MS);
  }

  /** Begin another symbol: nothing known yet. */
  reset(symbol) {
    if (symbol === this.symbol) return;
    this.symbol = symbol;
    this.last = null;
    this.#spokenAt = 0;
    this.price.textContent = "–";
    this.day.hidden = true;
    document.title = `${symbol} · Streamloom`;
    this.refreshDay();
  }

  /** Show the close of the newest candle as the price. */
  show(row, { decimals }) {
    this.decimals = decimals;
    const price = Number(row.close);
    const text = exact(row.close, decimals);
    if (this.last !== null && price !== this.last) this.#flash(price > this.last ? "up" : "down");
    this.last = price;
    if (this.price.textContent === text) return;
    this.price.textContent = text;
    document.title = `${text} ${this.symbol} · Streamloom`;
    this.#speak(text);
  }

  #flash(direction) {
    this.price.dataset.direction = direction;
    this.price.classList.remove("flash");
    requestAnimationFrame(() => this.price.classList.add("flash"));
  }

  /** Not each tick: a screen reader would never fall silent. */
  #speak(text) {
    if (Date.now() - this.#spokenAt < SPOKEN_EVERY_MS) return;
    this.#spokenAt = Date.now();
    this.spoken.textContent = `${this.symbol} ${text}`;
  }

  /** Fetch the last day's hours and show change, high, low and volume. */
  async refreshDay() {
    if (!this.symbol || document.hidden) return;
    const { symbol } = this;
    try {
      const { candles } = await api.candles({ symbol, interval: "1h", limit: DAY_HOURS });
      if (symbol === this.symbol && candles.length) this.#showDay(candles);
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error; // the chart says that the server is away
    }
  }

  #showDay(hours) {
    const [first] = hours;
    const change = Number(hours.at(-1).close) / Number(first.open) - 1;
    const highest = hours.reduce((best, row) => (Number(row.high) > Number(best.high) ? row : best));
    const lowest = hours.reduce((best, row) => (Number(row.low) < Number(best.low) ? row : best));
    const total = (name) => compact(hours.reduce((sum, row) => sum + Number(row[name]), 0));
    const label = hours.length < DAY_HOURS ? `${hours.length} h` : "24 h";
    const figures = {
      change: `${arrow(change)} ${signedPercent(change)}`,
      high: exact(highest.high, this.decimals),
      low: exact(lowest.low, this.decimals),
      volume: total("volume"),
      turnover: total("quote_volume"),
    };
    for (const [name, text] of Object.entries(figures)) this.day.querySelector(`[data-field=${name}]`).textContent = text;
    this.day.querySelectorAll("[data-field=span]").forEach((node) => { node.textContent = label; });
    this.day.dataset.direction = change < 0 ? "down" : "up";
    this.day.hidden = false;
  }
}
