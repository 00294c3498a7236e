/** The drawing: candles, volume, the verdict strip and marks, on TradingView Lightweight Charts. */

import * as library from "../../vendor/lightweight-charts/lightweight-charts.standalone.production.mjs";

import { candleBar, marks, needsMark, seconds, stripBar, volumeBar } from "./bars.js";
import { emptySlots, withEmptySlots } from "./candles.js";
import { axisPrice, compact } from "./format.js";
import { isDaily } from "./intervals.js";
import { colours as readColours } from "./theme.js";

// So many candles from the oldest one the next page of history is fetched.
const EDGE_BARS = 60;
const FIRST_VIEW_BARS = 160;
const FEWEST_BARS = 60;
const MIN_SPACING = 6;
const RIGHT_BARS = 6;

/** Tells its listener: `onCursor(openTime|null)`, `onOldEdge()` near the oldest candle, `onMoved(range|null)` (null: at the live edge). */
export class CandleChart {
  #store = null;
  #pending = new Map();
  #frame = 0;
  #lastTime = -Infinity;
  #drawn = new Set();
  #cursor = null;

  constructor(element, listener) {
    this.listener = listener;
    this.colours = readColours();
    this.chart = library.createChart(element, { autoSize: true, ...this.#look() });
    this.#addSeries();
    this.chart.subscribeCrosshairMove((event) => this.#pointed(event));
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => range && this.#moved(range));
  }

  #addSeries() {
    const plain = { priceLineVisible: false, lastValueVisible: false };
    this.candles = this.chart.addSeries(library.CandlestickSeries, { priceLineStyle: library.LineStyle.Dashed }, 0);
    this.strip = this.chart.addSeries(library.HistogramSeries, { ...plain, priceScaleId: "strip" }, 0);
    this.volume = this.chart.addSeries(library.HistogramSeries, {
      ...plain, priceFormat: { type: "custom", minMove: 1e-8, formatter: (value) => compact(value) },
    }, 1);
    this.marks = library.createSeriesMarkers(this.candles, []);
    this.candles.priceScale().applyOptions({ scaleMargins: { top: 0.14, bottom: 0.08 } });
    this.strip.priceScale().applyOptions({ scaleMargins: { top: 0.975, bottom: 0 } });
    this.strip.applyOptions({ autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: 3 } }) });
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.15, bottom: 0 } });
    const [prices, volumes] = this.chart.panes();
    prices.setStretchFactor(4);
    volumes.setStretchFactor(1);
  }

  /** Begin another view: nothing drawn, the newest candles in sight once they come. */
  reset(store, decimals) {
    this.#store = store;
    this.#cursor = null;
    this.isFresh = true;
    const { interval } = store;
    this.chart.applyOptions({ timeScale: { secondsVisible: interval === "1s", timeVisible: !isDaily(interval) } });
    this.setDecimals(decimals);
    this.redraw();
  }

  setDecimals(decimals) {
    this.decimals = decimals;
    this.candles.applyOptions({
      priceFormat: { type: "custom", minMove: 10 ** -decimals, formatter: (value) => axisPrice(value, decimals) },
    });
  }

  /** Draw all rows of the store anew; the view keeps its distance from the newest candle. */
  redraw() {
    this.#pending.clear();
    const wasSparse = this.isFresh || this.#drawn.size < FEWEST_BARS;
    const position = this.chart.timeScale().scrollPosition();
    const rows = this.#store.rows();
    const slots = withEmptySlots(this.#store.interval, rows);
    this.#drawSlots(slots);
    this.#lastTime = rows.at(-1)?.open_time ?? -Infinity;
    this.#drawn = new Set(slots.map(({ time }) => time));
    this.#drawMarks();
    if (rows.length === 0) return;
    if (this.isFresh || (wasSparse && slots.length >= FEWEST_BARS)) this.#showNewest();
    // The library would keep the left edge when history comes in before a few candles.
    else this.chart.timeScale().scrollToPosition(position, false);
  }

  #drawSlots(slots) {
    const draw = (toBar) => slots.map(({ time, row }) => (row ? toBar(row, this.colours) : { time: seconds(time) }));
    this.candles.setData(draw(candleBar));
    this.volume.setData(draw(volumeBar));
    this.strip.setData(draw(stripBar));
  }

  #showNewest() {
    this.isFresh = false;
    const scale = this.chart.timeScale();
    const bars = Math.min(Math.max(this.#drawn.size + RIGHT_BARS, FEWEST_BARS), FIRST_VIEW_BARS);
    scale.applyOptions({ barSpacing: Math.max(MIN_SPACING, scale.width() / bars) });
    scale.scrollToPosition(RIGHT_BARS, false);
  }

  /** Draw one live row with the next frame: many messages cost one drawing. */
  draw(row) {
    this.#pending.set(row.open_time, row);
    this.#frame ||= requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    this.#frame = 0;
    const rows = [...this.#pending.values()].sort((left, right) => left.open_time - right.open_time);
    this.#pending.clear();
    rows.forEach((row) => this.#drawRow(row));
    if (rows.some(needsMark) || this.#hasStaleMark(rows)) this.#drawMarks();
    if (this.isFresh && this.#store.size) this.#showNewest();
  }

  #drawRow(row) {
    const isOld = row.open_time < this.#lastTime;
    // The library cannot put a bar between two others: only a whole drawing can.
    if (isOld && !this.#drawn.has(row.open_time)) return this.redraw();
    if (!isOld && this.#drawn.size) this.#leaveSpace(row.open_time);
    this.candles.update(candleBar(row, this.colours), isOld);
    this.volume.update(volumeBar(row, this.colours), isOld);
    this.strip.update(stripBar(row, this.colours), isOld);
    this.#lastTime = Math.max(this.#lastTime, row.open_time);
    this.#drawn.add(row.open_time);
  }

  #leaveSpace(untilTime) {
    for (const time of emptySlots(this.#store.interval, this.#lastTime, untilTime)) {
      this.candles.update({ time: seconds(time) });
      this.#drawn.add(time);
    }
  }

  #drawMarks() {
    const drawn = marks(this.#store.rows(), this.colours);
    this.marked = new Set(drawn.map((mark) => mark.time));
    this.marks.setMarkers(drawn);
  }

  #hasStaleMark(rows) { return rows.some((row) => this.marked.has(seconds(row.open_time))); }

  /** Read the colours again and draw with them. */
  recolour() {
    this.colours = readColours();
    this.chart.applyOptions(this.#look());
    if (this.#store) this.redraw();
  }

  /** Put the crosshair `step` candles further (keyboard); from the last candle when there is none. */
  moveCursor(step) {
    if (!this.#store?.size) return;
    const row = this.#cursor === null ? this.#store.last : this.#store.beside(this.#cursor, step);
    this.#cursor = row.open_time;
    this.chart.setCrosshairPosition(Number(row.close), seconds(row.open_time), this.candles);
    this.listener.onCursor(row.open_time);
  }

  clearCursor() {
    this.#cursor = null;
    this.chart.clearCrosshairPosition();
    this.listener.onCursor(null);
  }

  /** Show more (factor > 1) or fewer candles around the right edge. */
  zoom(factor) {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (range) scale.setVisibleLogicalRange({ from: range.to - Math.max(10, (range.to - range.from) * factor), to: range.to });
  }

  goLive() { this.chart.timeScale().scrollToPosition(RIGHT_BARS, false); }

  /** Show the span `{from, to}` (epoch ms). */
  show({ from, to }) {
    this.isFresh = false;
    this.chart.timeScale().setVisibleRange({ from: seconds(from), to: seconds(to) });
  }

  #pointed(event) {
    const isInside = event.time !== undefined && event.point !== undefined;
    this.#cursor = isInside ? event.time * 1000 : null;
    this.listener.onCursor(this.#cursor);
  }

  #moved(range) {
    if (!this.#store?.size || this.isFresh) return;
    if (range.from < EDGE_BARS) this.listener.onOldEdge();
    const scale = this.chart.timeScale();
    const span = scale.scrollPosition() > -1 ? null : scale.getVisibleRange();
    this.listener.onMoved(span && { from: span.from * 1000, to: span.to * 1000 });
  }

  #look() {
    const colours = this.colours;
    const style = getComputedStyle(document.body);
    const line = { color: colours.muted, labelBackgroundColor: colours.accent, width: 1, style: library.LineStyle.Dotted };
    return {
      layout: {
        // The library's logo injects a <style>, which the page's policy forbids: the footer carries the link instead.
        attributionLogo: false,
        background: { type: library.ColorType.Solid, color: colours.bg },
        textColor: colours.muted, fontFamily: style.fontFamily, fontSize: 11,
        panes: { separatorColor: colours.line, separatorHoverColor: colours["up-soft"] },
      },
      grid: { vertLines: { color: colours.grid }, horzLines: { color: colours.grid } },
      crosshair: { mode: library.CrosshairMode.Normal, vertLine: line, horzLine: line },
      rightPriceScale: { borderColor: colours.line },
      timeScale: { borderColor: colours.line, rightOffset: RIGHT_BARS, minBarSpacing: 0.5 },
      localization: { locale: "en-GB" },
    };
  }
}
