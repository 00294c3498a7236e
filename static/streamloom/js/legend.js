/** The line over the chart: one candle in figures, with what is proved about it. */

import { isUp } from "./bars.js";
import { arrow, compact, exact, local, signedPercent, utc, whole } from "./format.js";
import { isDaily } from "./intervals.js";

/** What each state of a candle means, with a sign that needs no colour. */
export const STATES = Object.freeze({
  forming: { sign: "◌", word: "forming", meaning: "still receiving trades" },
  closed: { sign: "●", word: "closed", meaning: "complete here; not compared with the exchange's candle yet" },
  certified: { sign: "✓", word: "certified", meaning: "equal to the exchange's own candle in every field" },
  partial: { sign: "◐", word: "partial", meaning: "not wholly covered by what is held" },
  disputed: { sign: "≠", word: "disputed", meaning: "differs from the exchange's candle" },
  exchange: { sign: "◇", word: "exchange", meaning: "the exchange's own candle" },
});

export class Legend {
  constructor(element) {
    this.element = element;
    this.fields = Object.fromEntries(
      [...element.querySelectorAll("[data-field]")].map((node) => [node.dataset.field, node]),
    );
  }

  /** Show a candle of `interval`, prices with `decimals` places; null clears the line. */
  show(row, { interval, decimals }) {
    this.element.hidden = !row;
    if (!row) return;
    const change = Number(row.close) / Number(row.open) - 1;
    this.element.dataset.direction = isUp(row) ? "up" : "down";
    this.#put("time", utc(row.open_time, { seconds: interval === "1s", dateOnly: isDaily(interval) }));
    this.fields.time.title = `${local(row.open_time)} (your time)`;
    for (const name of ["open", "high", "low", "close"]) this.#put(name, exact(row[name], decimals));
    this.#put("change", `${arrow(change)} ${signedPercent(change)}`);
    this.#put("volume", compact(row.volume));
    this.fields.volume.title = exact(row.volume);
    this.#put("trades", compact(row.trades ?? 0));
    this.#showState(row);
  }

  #showState(row) {
    const state = STATES[row.state] ?? { sign: "?", word: row.state, meaning: "" };
    this.#put("state", `${state.sign} ${state.word}`);
    this.fields.state.dataset.state = row.state;
    this.fields.state.title = `${state.meaning}${difference(row)}`;
    this.fields.missing.hidden = !(row.missing > 0);
    this.#put("missing", `⚠ ${whole(row.missing)} missing`);
  }

  #put(name, text) { this.fields[name].textContent = text; }
}

function difference(row) {
  const entries = Object.entries(row.difference ?? {});
  return entries.map(([field, [ours, theirs]]) => `\n${field}: ${ours} here, ${theirs} there`).join("");
}

/** A candle as one spoken sentence. */
export function sentence(row, { interval, decimals }) {
  const missing = row.missing > 0 ? `, ${row.missing} trades missing` : "";
  const when = utc(row.open_time, { seconds: interval === "1s", dateOnly: isDaily(interval) });
  return `${when} UTC: open ${exact(row.open, decimals)}, high ${exact(row.high, decimals)}, ` +
    `low ${exact(row.low, decimals)}, close ${exact(row.close, decimals)}, ${row.state}${missing}`;
}
