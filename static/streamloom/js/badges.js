/** The two badges: is the line up, and is the data complete. Each says it in words, with a sign beside the colour. */

import { span, utcClock, whole } from "./format.js";

// Feeds speak at least every 2 s, so a clock that has stood still this long is worth a word.
const STALE_S = 15;

export class ConnectionBadge {
  #state = { phase: "connecting", retryAt: null, lastMessageAt: null };
  #staleSince = null;

  constructor(element, { now = Date.now } = {}) {
    this.element = element;
    this.now = now;
    setInterval(() => this.#render(), 500);
    this.#render();
  }

  /** The socket's state, as `LiveSocket` tells it. */
  setConnection(state) {
    this.#state = state;
    this.#render();
  }

  /** For how long the feed's clock has stood still (seconds by the server's machine clock), or null. */
  setStaleness(staleS) {
    this.#staleSince = staleS > STALE_S ? this.now() - staleS * 1000 : null;
    this.#render();
  }

  #render() {
    const { kind, text } = this.#describe();
    this.element.dataset.kind = kind;
    const label = this.element.querySelector("[data-field=text]");
    if (label.textContent !== text) label.textContent = text;
  }

  #describe() {
    const { phase, retryAt, lastMessageAt } = this.#state;
    const since = lastMessageAt ? `, stale since ${utcClock(lastMessageAt)}` : "";
    if (phase === "waiting") {
      const wait = Math.max(0, Math.ceil((retryAt - this.now()) / 1000));
      return { kind: "waiting", text: `reconnecting in ${wait} s${since}` };
    }
    if (phase === "refused") return { kind: "refused", text: "not signed in" };
    if (phase === "connecting") return { kind: "waiting", text: `connecting${since}` };
    if (this.#staleSince !== null) return { kind: "stale", text: `stale since ${utcClock(this.#staleSince)}` };
    return { kind: "live", text: "live" };
  }
}

export class CoverageBadge {
  #block = null;
  #isOld = false;

  constructor(element) { this.element = element; }

  /** Show a coverage block of the API; null while nothing is known. */
  show(block) {
    this.#block = block;
    this.#render();
  }

  /** True while the line is down: what was known may no longer hold. */
  setOld(isOld) {
    this.#isOld = isOld;
    this.#render();
  }

  #render() {
    const { kind, sign, text, title } = describeCoverage(this.#block);
    const isOld = this.#isOld && this.#block !== null;
    this.element.dataset.kind = isOld ? "unknown" : kind;
    this.element.title = title;
    this.element.querySelector("[data-field=sign]").textContent = isOld ? "…" : sign;
    this.element.querySelector("[data-field=text]").textContent = isOld ? `was ${text}` : text;
  }
}

function describeCoverage(block) {
  if (!block) return { kind: "unknown", sign: "…", text: "checking", title: "Coverage is being fetched." };
  const facts = `${whole(block.held)} trade ids held, ${whole(block.missing)} missing, ${whole(block.holes)} not served by the exchange (loaded range)`;
  const title = `${facts}${gapLines(block.gaps ?? [])}\nThe feed's clock moved ${span(block.stale_s)} ago.`;
  if (block.missing > 0) return { kind: "missing", sign: "⚠", text: `${whole(block.missing)} missing`, title };
  if (block.feed_time === null || block.feed_time === undefined) return { kind: "unknown", sign: "…", text: "no data yet", title };
  if (block.stale_s > STALE_S) return { kind: "stale", sign: "◷", text: `stale ${span(block.stale_s)}`, title };
  if (!block.complete) return { kind: "partial", sign: "◐", text: "partly covered", title };
  return { kind: "complete", sign: "✓", text: "complete", title };
}

function gapLines(gaps) {
  return gaps.slice(0, 5).map((gap) => `\nids ${gap.from_id}–${gap.to_id}: ${gap.state}${gap.cause ? `, ${gap.cause}` : ""}`).join("");
}
