/** Numbers and times as people read them. Amounts come as exact decimal text and are never rounded in silence. */

const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });

/** How many decimals a decimal text really uses: "0.01000000" -> 2. */
export function decimalsOf(text) {
  const part = (text ?? "").split(".")[1] ?? "";
  return part.replace(/0+$/, "").length;
}

/** "42000.50000000" -> "42,000.50" with at least `decimals` places; digits beyond them that are not zero stay. */
export function exact(text, decimals = 0) {
  if (text === null || text === undefined) return "–";
  const [whole, part = ""] = String(text).split(".");
  const places = Math.max(decimals, decimalsOf(text));
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return places ? `${grouped}.${part.padEnd(places, "0").slice(0, places)}` : grouped;
}

/** A price on the chart's axis: a float, so rounded to the symbol's step. */
export function axisPrice(value, decimals) {
  return value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/** A large amount in short: 1234567.8 -> "1.23M". For headlines; tables show `exact`. */
export function compact(text) {
  return COMPACT.format(Number(text));
}

/** 0.0123 -> "+1.23 %". */
export function signedPercent(ratio) {
  if (!Number.isFinite(ratio)) return "–";
  const sign = ratio > 0 ? "+" : ratio < 0 ? "−" : "";
  return `${sign}${Math.abs(ratio * 100).toFixed(2)} %`;
}

/** The mark that says up or down without colour. */
export function arrow(ratio) {
  return ratio > 0 ? "▲" : ratio < 0 ? "▼" : "■";
}

/** Epoch ms -> "2026-11-21 09:26" in UTC, with seconds or without a time of day when asked. */
export function utc(ms, { seconds = false, dateOnly = false } = {}) {
  const text = new Date(ms).toISOString();
  const date = text.slice(0, 10);
  return dateOnly ? date : `${date} ${text.slice(11, seconds ? 19 : 16)}`;
}

/** Epoch ms -> "09:26:31" in UTC. */
export function utcClock(ms) {
  return new Date(ms).toISOString().slice(11, 19);
}

/** Epoch ms in the reader's own time zone: for tooltips. */
export function local(ms) {
  return new Date(ms).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
}

/** Seconds -> "0.8 s", "42 s", "3 min", "2 h", "5 d". */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** 1234567 -> "1,234,567". */
export function whole(number) {
  return number === null || number === undefined ? "–" : Number(number).toLocaleString("en");
}
