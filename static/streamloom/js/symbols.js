/** The symbol search: an editable combobox over `/symbols` (keys: arrows, Enter, Escape). */

import * as api from "./api.js";
import { exact } from "./format.js";

const MOST_SHOWN = 60;

export class SymbolSearch {
  #watched = [];
  #all = null;
  #shown = [];
  #active = -1;

  /** `onChoose(symbol)` when the reader picks one. */
  constructor({ input, list }, onChoose) {
    Object.assign(this, { input, list, onChoose });
    input.addEventListener("focus", () => this.#open());
    input.addEventListener("input", () => this.#filter(input.value));
    input.addEventListener("keydown", (event) => this.#key(event));
    input.addEventListener("blur", () => this.#close());
    // mousedown, not click: the blur of the input would close the list first.
    list.addEventListener("mousedown", (event) => this.#pressed(event));
  }

  /** Fetch the watched symbols; throws ApiError. */
  async load() {
    this.#watched = await api.symbols();
    return this.#watched;
  }

  /** What is known of a symbol (`tick_size`, `enabled`, …), or undefined. */
  find(symbol) {
    return [...this.#watched, ...(this.#all ?? [])].find((entry) => entry.symbol === symbol);
  }

  setSymbol(symbol) {
    this.symbol = symbol;
    this.input.value = symbol ?? "";
  }

  focus() { this.input.focus(); }

  async #open() {
    this.input.select();
    this.#filter("");
    await this.#refresh();
    if (document.activeElement === this.input) this.#filter(this.#typed());
  }

  #typed() { return this.input.value === this.symbol ? "" : this.input.value; }

  async #refresh() {
    try {
      this.#watched = await api.symbols();
      this.#all ??= await api.symbols({ all: true });
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error; // what is known stays on offer
    }
  }

  #filter(text) {
    const wanted = text.trim().toUpperCase();
    const others = (this.#all ?? []).filter((entry) => !entry.enabled);
    const matches = [...this.#watched, ...others].filter((entry) => entry.symbol.includes(wanted));
    matches.sort((left, right) => rank(left, wanted) - rank(right, wanted));
    this.#shown = matches.slice(0, MOST_SHOWN);
    this.#active = wanted && this.#shown.length ? 0 : -1;
    this.#render(wanted);
  }

  #render(wanted) {
    this.list.replaceChildren(...this.#shown.map((entry, place) => option(entry, place === this.#active)));
    if (this.#shown.length === 0) this.list.append(note(wanted));
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.#pointAtActive();
  }

  #pointAtActive() {
    const options = [...this.list.querySelectorAll("[role=option]")];
    options.forEach((node, place) => node.setAttribute("aria-selected", String(place === this.#active)));
    const active = options[this.#active];
    if (!active) return this.input.removeAttribute("aria-activedescendant");
    this.input.setAttribute("aria-activedescendant", active.id);
    active.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in moves) {
      event.preventDefault();
      this.#active = Math.min(Math.max(this.#active + moves[event.key], 0), this.#shown.length - 1);
      this.#pointAtActive();
    } else if (event.key === "Enter") {
      const typed = this.input.value.trim().toUpperCase();
      this.#choose(this.#shown[this.#active]?.symbol ?? typed);
    } else if (event.key === "Escape") {
      this.input.blur();
    }
  }

  #pressed(event) {
    event.preventDefault();
    const node = event.target.closest("[role=option]");
    if (node) this.#choose(node.dataset.symbol);
  }

  #choose(symbol) {
    if (symbol) {
      this.setSymbol(symbol);
      this.onChoose(symbol);
    }
    this.input.blur();
  }

  #close() {
    this.list.hidden = true;
    this.input.value = this.symbol ?? "";
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }
}

/** Watched ones first, then those that begin with what was typed. */
function rank(entry, wanted) {
  return (entry.enabled ? 0 : 2) + (entry.symbol.startsWith(wanted) ? 0 : 1);
}

function option(entry, isActive) {
  const node = document.createElement("li");
  node.id = `option-${entry.symbol}`;
  node.role = "option";
  node.dataset.symbol = entry.symbol;
  node.setAttribute("aria-selected", String(isActive));
  node.append(text("b", entry.symbol), text("small", `${entry.base} / ${entry.quote}`), text("span", aside(entry)));
  return node;
}

function aside(entry) {
  if (!entry.enabled) return "not watched";
  return entry.last_price ? exact(entry.last_price) : "waiting for trades";
}

function note(wanted) {
  const node = text("li", wanted
    ? `No symbol contains “${wanted}”.`
    : "No symbols yet. Run “python manage.py sync_symbols”, or enable some in the admin.");
  node.className = "note";
  return node;
}

function text(tag, content) {
  const node = document.createElement(tag);
  node.textContent = content;
  return node;
}
