/** Colours: dark, light or the system's; the usual green and red, or blue and orange. */

const THEMES = ["system", "dark", "light"];
const PALETTES = ["classic", "safe"];
const NAMES = [
  "bg", "panel", "line", "grid", "text", "muted", "accent", "up", "up-soft", "down", "down-soft",
  "up-volume", "down-volume", "proved", "quiet", "warn", "bad",
];

const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

export function theme() { return root.dataset.theme; }
export function palette() { return root.dataset.palette; }

/** The next theme in turn, remembered in this browser. */
export function nextTheme() { return choose("theme", THEMES); }

/** The next palette in turn, remembered in this browser. */
export function nextPalette() { return choose("palette", PALETTES); }

/** Call back when colours change, by choice or by the system. */
export function onColours(callback) {
  dark.addEventListener("change", callback);
  addEventListener("streamloom:colours", callback);
}

/** The colours of now as plain `rgb()` texts by name: a canvas cannot read CSS variables. */
export function colours() {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const found = Object.fromEntries(NAMES.map((name) => {
    probe.style.color = `var(--${name})`;
    return [name, getComputedStyle(probe).color];
  }));
  probe.remove();
  return found;
}

function choose(key, values) {
  const value = values[(values.indexOf(root.dataset[key]) + 1) % values.length];
  root.dataset[key] = value;
  remember(`streamloom.${key}`, value);
  dispatchEvent(new Event("streamloom:colours"));
  return value;
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // A browser that keeps nothing still shows the choice until the page is left.
  }
}
