/** The sixteen intervals, spelled as the exchange spells them (case matters: 1m is not 1M). */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const WIDTHS = {
  "1s": SECOND,
  "1m": MINUTE, "3m": 3 * MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE,
  "1h": HOUR, "2h": 2 * HOUR, "4h": 4 * HOUR, "6h": 6 * HOUR, "8h": 8 * HOUR, "12h": 12 * HOUR,
  "1d": DAY, "3d": 3 * DAY, "1w": 7 * DAY,
  "1M": null, // the calendar month has no fixed width
};

const SPOKEN = { s: "second", m: "minute", h: "hour", d: "day", w: "week", M: "month" };

export const INTERVALS = Object.freeze(Object.keys(WIDTHS));

/** The keys 1 to 9 and 0, in the order in which people reach for them. */
export const INTERVAL_KEYS = Object.freeze({
  1: "1m", 2: "3m", 3: "5m", 4: "15m", 5: "30m", 6: "1h", 7: "4h", 8: "1d", 9: "1w", 0: "1s",
});

export function isInterval(text) {
  return Object.hasOwn(WIDTHS, text);
}

/** The open time (ms) of the bucket after the one that opens at `openTime`. */
export function nextOpen(interval, openTime) {
  const width = WIDTHS[interval];
  if (width !== null) return openTime + width;
  const date = new Date(openTime);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}

/** True for intervals whose candles are told apart by the date alone. */
export function isDaily(interval) {
  const width = WIDTHS[interval];
  return width === null || width >= DAY;
}

/** "15m" -> "15 minutes": for labels that are read aloud. */
export function spoken(interval) {
  const count = Number.parseInt(interval, 10);
  const unit = SPOKEN[interval.at(-1)];
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}
