/** The pieces of the operator's page, made of plain elements. */

import { span, whole } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

/** One stage as a card: state, rate, lag, age of the last message, and the rate's last two minutes as a line. */
export function stageCard(stage, rates) {
  const card = element("li", { className: "stage" });
  card.dataset.status = stage.status;
  const head = element("header");
  head.append(element("h3", { textContent: stage.name }), badge([stage.status, stage.status]));
  card.append(head, element("p", { className: "does", textContent: stage.does }), figures(stage));
  if (stage.rate !== null) card.append(line(rates, stage.name));
  card.append(element("p", { className: "detail", textContent: detail(stage) }));
  return card;
}

function figures(stage) {
  const list = element("dl");
  const pairs = [["Lag", whole(stage.lag)]];
  if (stage.rate !== null) {
    const age = stage.last_message_age_s;
    pairs.unshift(["Rate", `${stage.rate < 10 ? stage.rate.toFixed(1) : whole(Math.round(stage.rate))}/s`]);
    pairs.push(["Last message", age === null ? "none yet" : span(age)]);
  }
  for (const [term, text] of pairs) list.append(element("dt", { textContent: term }), element("dd", { textContent: text }));
  return list;
}

function detail(stage) {
  const several = stage.instances > 1 ? `${stage.instances} instances. ` : "";
  return several + (stage.detail || "");
}

function line(rates, name) {
  const top = Math.max(1, ...rates);
  const points = rates.map((rate, place) => `${place + 60 - rates.length},${(24 - (rate / top) * 22).toFixed(1)}`);
  const drawing = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "polyline");
  drawing.setAttribute("viewBox", "0 0 59 26");
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", `Rate of ${name} over the last two minutes, at most ${top.toFixed(1)} a second`);
  path.setAttribute("points", points.join(" "));
  drawing.append(path);
  return drawing;
}

/** A table row; a cell is `{text, href?, badge?: [kind, word], title?, isNumber?, isLate?}`. */
export function row(cells) {
  const node = element("tr");
  node.append(...cells.map(cell));
  return node;
}

function cell({ text = "", title = "", href, badge: state, isNumber, isLate }) {
  const node = element("td", { title });
  node.classList.toggle("number", Boolean(isNumber));
  node.classList.toggle("late", Boolean(isLate));
  if (state) node.append(badge(state));
  else if (href) node.append(element("a", { href, textContent: text }));
  else node.textContent = text;
  return node;
}

/** One row over all columns that says what to do next. */
export function emptyRow(columns, text) {
  const node = element("tr");
  node.append(element("td", { className: "empty", colSpan: columns, textContent: text }));
  return node;
}

function badge([kind, word]) {
  const node = element("span", { className: "badge" });
  node.dataset.kind = kind;
  node.append(element("i", { className: "dot" }), ` ${word}`);
  return node;
}

function element(tag, properties = {}) {
  return Object.assign(document.createElement(tag), properties);
}
