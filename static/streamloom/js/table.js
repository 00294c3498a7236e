/** The last candles as a table for screen readers: a canvas says nothing to them. */

import { exact, utc } from "./format.js";

const ROWS = 12;
const EVERY_MS = 2_000;

export class CandleTable {
  #timer = null;

  constructor(table) {
    this.caption = table.caption;
    this.body = table.tBodies[0];
  }

  /** Write the newest candles soon, and not more often than every two seconds. */
  show(store, { symbol, interval }) {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.caption.textContent = `The last ${ROWS} candles of ${symbol}, ${interval}, times in UTC`;
      this.body.replaceChildren(...store.tail(ROWS).reverse().map(tableRow));
    }, EVERY_MS);
  }
}

function tableRow(row) {
  const node = document.createElement("tr");
  const state = row.missing > 0 ? `${row.state}, ${row.missing} missing` : row.state;
  const cells = [utc(row.open_time, { seconds: true }), ...[row.open, row.high, row.low, row.close, row.volume].map((amount) => exact(amount)), state];
  cells.forEach((content) => { node.insertCell().textContent = content; });
  return node;
}
