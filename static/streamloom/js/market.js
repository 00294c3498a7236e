/** The market page: puts the parts together and holds the one view `{symbol, interval, range}`. */

import { ApiError } from "./api.js";
import { bindAppearance } from "./appearance.js";
import { ConnectionBadge, CoverageBadge } from "./badges.js";
import { CandleChart } from "./chart.js";
import { CandleFeed } from "./feed.js";
import { decimalsOf, utc } from "./format.js";
import { Headline } from "./headline.js";
import { INTERVAL_KEYS, INTERVALS, spoken } from "./intervals.js";
import { onKeys } from "./keys.js";
import { Legend, sentence } from "./legend.js";
import { showNotice } from "./notice.js";
import { onViewAsked, readView, writeView } from "./state.js";
import { SymbolSearch } from "./symbols.js";
import { CandleTable } from "./table.js";
import { nextPalette, nextTheme, onColours } from "./theme.js";

const $ = (id) => document.getElementById(id);

const view = readView();
let decimals = 2;
let cursor = null;
let isMovedByKey = false;

const legend = new Legend($("legend"));
const connection = new ConnectionBadge($("connection"));
const coverage = new CoverageBadge($("coverage"));
const headline = new Headline({ price: $("price"), spoken: $("spoken-price"), day: $("day") });
const table = new CandleTable($("candle-table"));
const search = new SymbolSearch({ input: $("symbol"), list: $("symbol-list") }, (symbol) => go({ symbol }));

const chart = new CandleChart($("chart"), {
  onCursor: (openTime) => {
    cursor = openTime;
    showLegend();
  },
  onOldEdge: () => feed.older(),
  onMoved: (range) => {
    view.range = range;
    $("go-live").hidden = range === null;
    rememberSoon();
  },
});

const feed = new CandleFeed({
  onReset: (store) => {
    cursor = null;
    coverage.show(null);
    legend.show(null, {});
    showNotice($("notice"), null);
    chart.reset(store, decimals);
  },
  onRows: (store) => {
    learnDecimals(store);
    chart.redraw();
    afterRows();
  },
  onRow: (row) => {
    chart.draw(row);
    connection.setStaleness(0);
    showClock(row.known_at);
    afterRows();
  },
  onCoverage: (block) => {
    coverage.show(block);
    connection.setStaleness(block.stale_s);
    showClock(block.feed_time);
  },
  onProblem: (problem) => showNotice($("notice"), problem, view.symbol),
  onConnection: (state) => {
    connection.setConnection(state);
    coverage.setOld(state.phase !== "open" && state.lastMessageAt !== null);
  },
});

function afterRows() {
  const { last } = feed.store;
  if (!last) return;
  headline.show(last, { decimals });
  table.show(feed.store, view);
  showLegend();
}

function showClock(feedTime) {
  if (feedTime) $("feed-clock").textContent = `${utc(feedTime, { seconds: true })} UTC`;
}

function showLegend() {
  const row = (cursor !== null && feed.store?.get(cursor)) || feed.store?.last;
  legend.show(row, { interval: view.interval, decimals });
  if (isMovedByKey && row) $("spoken-candle").textContent = sentence(row, { interval: view.interval, decimals });
}

/** The places of a price: by the symbol's step, else by what its candles use. */
function learnDecimals(store) {
  const tick = search.find(view.symbol)?.tick_size;
  const found = Number(tick) > 0 ? decimalsOf(tick) : Math.max(0, ...store.tail(50).map((row) => decimalsOf(row.close)));
  if (found === decimals) return;
  decimals = found;
  chart.setDecimals(decimals);
}

/** Show another view; `change` holds what differs from now. */
async function go(change, { isStep = true } = {}) {
  Object.assign(view, { range: null }, change);
  if (!view.symbol) return;
  search.setSymbol(view.symbol);
  headline.reset(view.symbol);
  $("go-live").hidden = true;
  document.querySelectorAll("#intervals button").forEach((button) => {
    button.setAttribute("aria-pressed", String(button.value === view.interval));
  });
  document.querySelector("#intervals [aria-pressed=true]").scrollIntoView({ block: "nearest", inline: "center" });
  writeView(view, { isStep });
  const { range } = view;
  await feed.open(view.symbol, view.interval, range);
  if (range && feed.store.size) chart.show(range);
}

let rememberTimer = 0;
/** Browsers limit how often the address may change, and a drag moves the view at each frame. */
function rememberSoon() {
  clearTimeout(rememberTimer);
  rememberTimer = setTimeout(() => writeView(view), 400);
}

function drawIntervals() {
  $("intervals").replaceChildren(...INTERVALS.map((interval) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", value: interval, textContent: interval, title: spoken(interval) });
    button.setAttribute("aria-label", spoken(interval));
    button.addEventListener("click", () => go({ interval }));
    return button;
  }));
}

function neighbour(step) {
  const place = INTERVALS.indexOf(view.interval) + step;
  if (INTERVALS[place]) go({ interval: INTERVALS[place] });
}

function moveCursor(step) {
  isMovedByKey = true;
  chart.moveCursor(step);
  isMovedByKey = false;
}

function bindKeys() {
  const jumps = Object.entries(INTERVAL_KEYS).map(([key, interval]) => [key, () => go({ interval })]);
  onKeys({
    ...Object.fromEntries(jumps),
    "/": () => search.focus(),
    "?": () => $("help").showModal(),
    "[": () => neighbour(-1),
    "]": () => neighbour(1),
    "+": () => chart.zoom(0.8),
    "=": () => chart.zoom(0.8),
    "-": () => chart.zoom(1.25),
    ArrowLeft: () => moveCursor(-1),
    ArrowRight: () => moveCursor(1),
    "Shift+ArrowLeft": () => moveCursor(-10),
    "Shift+ArrowRight": () => moveCursor(10),
    End: () => chart.goLive(),
    Escape: () => chart.clearCursor(),
    t: nextTheme,
    c: nextPalette,
    f: toggleFullScreen,
  });
}

function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen();
}

/** The first symbol to show: the address's, else the first that is watched; asks until the server answers. */
async function firstSymbol(wait = 1_000) {
  try {
    const watched = await search.load();
    showNotice($("notice"), null);
    if (!view.symbol && watched.length === 0) showNotice($("notice"), { code: "no_symbols" });
    else return view.symbol ?? watched[0].symbol;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    showNotice($("notice"), { code: error.code, detail: error.message });
  }
  await new Promise((resolve) => { setTimeout(resolve, wait); });
  return firstSymbol(Math.min(2 * wait, 15_000));
}

drawIntervals();
bindKeys();
bindAppearance();
onColours(() => chart.recolour());
onViewAsked((asked) => go({ ...asked, symbol: asked.symbol ?? view.symbol }, { isStep: false }));
$("go-live").addEventListener("click", () => chart.goLive());
$("help-button").addEventListener("click", () => $("help").showModal());
$("full-screen").addEventListener("click", toggleFullScreen);
document.addEventListener("visibilitychange", () => feed.refreshCoverage());
go({ symbol: await firstSymbol(), range: view.range }, { isStep: false });
