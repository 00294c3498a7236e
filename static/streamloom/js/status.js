/** The operator's page: asks `/status.json` every two seconds and shows each stage, feed, gap and topic. */

import { ApiError, pipeline } from "./api.js";
import { bindAppearance } from "./appearance.js";
import { span, utc, utcClock, whole } from "./format.js";
import { emptyRow, row, stageCard } from "./status-parts.js";

const EVERY_MS = 2_000;
const KEPT_RATES = 60;
const STALE_S = 15;

const $ = (id) => document.getElementById(id);
const rates = new Map();

function show(answer) {
  const kind = answer.status;
  $("overall").dataset.kind = kind;
  $("overall").querySelector("[data-field=text]").textContent = kind;
  $("about").textContent = [answer.mode, answer.source, answer.version].filter(Boolean).join(" · ");
  $("updated").textContent = `${utcClock(answer.time)} UTC`;
  showProblem(answer.problems.length ? answer.problems.join(" · ") : null);
  showStages(answer.stages);
  fill("symbols", 9, answer.symbols.map(symbolRow), "No symbol is watched. Enable some in the admin, or run “python manage.py sync_symbols”.");
  fill("gaps", 7, answer.gaps.map(gapRow), "No gaps and no holes: every trade id of the covered time is held.");
  fill("topics", 7, answer.topics.filter((place) => place.end > 0).flatMap(topicRows), "The log is empty. It fills once ingest_trades runs: “python manage.py ingest_trades”.");
}

function showStages(stages) {
  if (stages.length === 0) return showNoStages();
  $("stages").replaceChildren(...stages.map((stage) => stageCard(stage, remember(stage))));
}

function showNoStages() {
  const item = document.createElement("li");
  item.className = "stage";
  item.textContent = "No part has reported yet. Start them with “make demo”, or each with its command, for example “python manage.py ingest_trades”.";
  $("stages").replaceChildren(item);
}

function remember({ name, rate }) {
  const kept = [...(rates.get(name) ?? []), rate ?? 0].slice(-KEPT_RATES);
  rates.set(name, kept);
  return kept;
}

function symbolRow(entry) {
  const isStale = entry.stale_s > STALE_S;
  const state = entry.feed_time === null ? ["waiting", "no data yet"]
    : entry.missing > 0 ? ["missing", "missing ids"]
      : isStale ? ["stale", "stale"]
        : entry.complete ? ["complete", "complete"] : ["partial", "partly covered"];
  return row([
    { text: entry.symbol, href: `/?symbol=${entry.symbol}` },
    { badge: state },
    { text: time(entry.feed_time) },
    { text: entry.feed_time === null ? "–" : `${span(entry.stale_s)} ago`, isNumber: true, isLate: isStale },
    { text: time(entry.covered_from) },
    { text: whole(entry.missing), isNumber: true, isLate: entry.missing > 0 },
    { text: whole(entry.gaps), isNumber: true },
    { text: whole(entry.holes), isNumber: true },
    { text: whole(entry.repaired), isNumber: true },
  ]);
}

function gapRow(gap) {
  return row([
    { text: gap.symbol, href: `/?symbol=${gap.symbol}` },
    { badge: [gap.state === "hole" ? "partial" : "missing", gap.state] },
    { text: gap.from_id === gap.to_id ? `${gap.from_id}` : `${gap.from_id} – ${gap.to_id}` },
    { text: whole(gap.count), isNumber: true },
    { text: `${time(gap.from_time)} – ${gap.to_time ? utcClock(gap.to_time) : "…"}` },
    { text: time(gap.opened_at) },
    { text: gap.cause || "–" },
  ]);
}

function topicRows({ topic, partition, start, end, readers, error }) {
  const place = [{ text: topic, title: error, isLate: Boolean(error) }, { text: String(partition), isNumber: true }, { text: whole(start), isNumber: true }, { text: whole(end), isNumber: true }];
  if (readers.length === 0) return [row([...place, { text: "–" }, { text: "–", isNumber: true }, { text: "–", isNumber: true }])];
  return readers.map((reader) => row([
    ...place,
    { text: reader.group },
    { text: whole(reader.position), isNumber: true },
    { text: whole(reader.lag), isNumber: true, isLate: reader.lag > 1_000 },
  ]));
}

function time(ms) { return ms ? utc(ms, { seconds: true }) : "–"; }

function fill(id, columns, rows, whenEmpty) {
  $(id).replaceChildren(...(rows.length ? rows : [emptyRow(columns, whenEmpty)]));
}

function showProblem(text) {
  $("problem").hidden = !text;
  if ($("problem").textContent !== text) $("problem").textContent = text ?? "";
}

function showAway(error) {
  showProblem(`${error.message} What is shown is from ${$("updated").textContent}; the page tries again every two seconds.`);
  $("overall").dataset.kind = "down";
  $("overall").querySelector("[data-field=text]").textContent = "no answer";
}

async function refresh() {
  try {
    if (!document.hidden) show(await pipeline());
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    showAway(error);
  } finally {
    setTimeout(refresh, EVERY_MS);
  }
}

bindAppearance();
refresh();
