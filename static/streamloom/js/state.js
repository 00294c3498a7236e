/** What is shown, kept in the address bar, so that a view can be bookmarked and shared. */

import { isInterval } from "./intervals.js";

const DEFAULT_INTERVAL = "1m";

/** The view that the address asks for: `{symbol|null, interval, range|null}`; nonsense falls back to the default. */
export function readView(search = location.search) {
  const query = new URLSearchParams(search);
  const symbol = (query.get("symbol") ?? "").toUpperCase();
  const interval = query.get("interval");
  const from = Number(query.get("from"));
  const to = Number(query.get("to"));
  return {
    symbol: /^[A-Z0-9_-]{1,30}$/.test(symbol) ? symbol : null,
    interval: isInterval(interval) ? interval : DEFAULT_INTERVAL,
    range: from > 0 && to > from ? { from, to } : null,
  };
}

/** Write the view into the address. A new symbol or interval is a step that "back" undoes; scrolling is not. */
export function writeView({ symbol, interval, range }, { isStep = false } = {}) {
  const query = new URLSearchParams({ symbol, interval });
  if (range) {
    query.set("from", range.from);
    query.set("to", range.to);
  }
  const address = `${location.pathname}?${query}`;
  if (address === location.pathname + location.search) return;
  history[isStep ? "pushState" : "replaceState"](null, "", address);
}

/** Call back with the view when the reader goes back or forward. */
export function onViewAsked(callback) {
  addEventListener("popstate", () => callback(readView()));
}
