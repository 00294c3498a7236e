/** The buttons for theme and palette, on every page that has them. */

import { nextPalette, nextTheme, onColours, palette, theme } from "./theme.js";

/** Make the buttons work and keep their labels true. */
export function bindAppearance() {
  bind("theme", nextTheme, () => `Theme: ${theme()}`);
  bind("palette", nextPalette, () => (palette() === "safe" ? "Colours: blue and orange" : "Colours: green and red"));
}

function bind(id, next, describe) {
  const button = document.getElementById(id);
  if (!button) return;
  const render = () => {
    const label = describe();
    button.title = label;
    button.setAttribute("aria-label", label);
  };
  button.addEventListener("click", next);
  onColours(render);
  render();
}
