/** Candles as the chart library wants them. Pure: rows and colours in, plain objects out. */

import { whole } from "./format.js";

/** Seconds: the library's clock. */
export function seconds(openTime) { return openTime / 1000; }

export function isUp(row) { return Number(row.close) >= Number(row.open); }

/** A candle's body: hollow when it rose, solid when it fell, so that direction never hangs on colour; grey without trades. */
export function candleBar(row, colours) {
  const edge = row.trades === 0 ? colours.quiet : isUp(row) ? colours.up : colours.down;
  return {
    time: seconds(row.open_time),
    open: Number(row.open), high: Number(row.high), low: Number(row.low), close: Number(row.close),
    color: isUp(row) ? colours["up-soft"] : colours.down,
    borderColor: edge,
    wickColor: edge,
  };
}

export function volumeBar(row, colours) {
  return {
    time: seconds(row.open_time),
    value: Number(row.volume),
    color: isUp(row) ? colours["up-volume"] : colours["down-volume"],
  };
}

// The strip under the candles: the less is proved, the taller the bar, so it reads without colour too.
const STRIP = {
  certified: { value: 1, colour: "proved" },
  closed: { value: 1, colour: "quiet" },
  exchange: { value: 1, colour: "quiet" },
  partial: { value: 2, colour: "warn" },
  disputed: { value: 3, colour: "bad" },
};

/** The verdict on a candle as a bar of the strip; a forming one has none yet. */
export function stripBar(row, colours) {
  const bar = row.missing > 0 && row.state !== "disputed" ? { value: 3, colour: "warn" } : STRIP[row.state];
  const time = seconds(row.open_time);
  return bar ? { time, value: bar.value, color: colours[bar.colour] } : { time };
}

export function needsMark(row) {
  return row.missing > 0 || row.state === "disputed";
}

/** The marks on candles that miss trades or differ from the exchange's. Numbers only while they are few. */
export function marks(rows, colours) {
  const flagged = rows.filter(needsMark).slice(-1000);
  return flagged.map((row) => mark(row, colours, flagged.length <= 20));
}

function mark(row, colours, isWordy) {
  const time = seconds(row.open_time);
  if (row.state === "disputed") {
    return { time, position: "aboveBar", shape: "arrowDown", color: colours.bad, text: isWordy ? "disputed" : "≠" };
  }
  const text = isWordy ? `${whole(row.missing)} missing` : "";
  return { time, position: "belowBar", shape: "square", color: colours.warn, text };
}
