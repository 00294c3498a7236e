/** The candles of one symbol and interval that the page holds, ordered by open time. Pure: no chart, no network. */

import { nextOpen } from "./intervals.js";

// A hole in time wider than this is drawn with this many empty slots on each side, not one per bucket:
// a store that holds 2019 and today would otherwise ask for millions of them.
const WIDEST_GAP = 240;
const EDGE = 20;

export class CandleStore {
  #byTime = new Map();
  #times = [];

  constructor(interval) {
    this.interval = interval;
  }

  get size() { return this.#times.length; }
  get first() { return this.#byTime.get(this.#times[0]); }
  get last() { return this.#byTime.get(this.#times.at(-1)); }

  get(openTime) { return this.#byTime.get(openTime); }

  /** The candle before (`step` -1) or after (+1) the one at `openTime`, or that one at the end of the row. */
  beside(openTime, step) {
    const place = Math.min(Math.max(this.#placeOf(openTime) + step, 0), this.size - 1);
    return this.#byTime.get(this.#times[place]);
  }

  /** All rows, oldest first. */
  rows() { return this.#times.map((time) => this.#byTime.get(time)); }

  /** The last `count` rows, oldest first. */
  tail(count) { return this.#times.slice(-count).map((time) => this.#byTime.get(time)); }

  /** Take the rows; each replaces what is held of its bucket unless that is newer. Returns those taken. */
  merge(rows) { return rows.filter((row) => this.#isNews(row) && this.#put(row)); }

  /** Take the rows whatever is held: a snapshot is what the server holds now. */
  replace(rows) { rows.forEach((row) => this.#put(row)); }

  /** Same trades or more, and not known earlier: the order in which answers and messages arrive does not matter. */
  #isNews(row) {
    const held = this.#byTime.get(row.open_time);
    if (held === undefined) return true;
    if (row.revision !== held.revision) return row.revision > held.revision;
    if (row.known_at === null || held.known_at === null) return true;
    return row.known_at >= held.known_at;
  }

  #put(row) {
    if (!this.#byTime.has(row.open_time)) this.#insertTime(row.open_time);
    this.#byTime.set(row.open_time, row);
    return true;
  }

  #insertTime(time) {
    if (this.size === 0 || time > this.#times.at(-1)) this.#times.push(time);
    else this.#times.splice(this.#placeOf(time), 0, time);
  }

  /** The place of `openTime`, or where it would be inserted. */
  #placeOf(openTime) {
    let low = 0;
    let high = this.#times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#times[middle] < openTime) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The open times between two buckets that have no candle: what is unknown is drawn as empty space. */
export function emptySlots(interval, afterTime, untilTime) {
  const slots = [];
  let time = nextOpen(interval, afterTime);
  for (; time < untilTime && slots.length <= WIDEST_GAP; time = nextOpen(interval, time)) slots.push(time);
  return time < untilTime ? edges(slots, untilTime) : slots;
}

function edges(slots, untilTime) {
  const step = slots[1] - slots[0];
  const right = Array.from({ length: EDGE }, (_, place) => untilTime - (EDGE - place) * step);
  return [...slots.slice(0, EDGE), ...right];
}

/** Rows with `null`-candles in the slots that have none: `[{time, row|null}]`. */
export function withEmptySlots(interval, rows) {
  const slots = [];
  rows.forEach((row, place) => {
    if (place > 0) {
      for (const time of emptySlots(interval, rows[place - 1].open_time, row.open_time)) slots.push({ time, row: null });
    }
    slots.push({ time: row.open_time, row });
  });
  return slots;
}
