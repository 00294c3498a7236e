/** Keyboard: one letter, one deed. Typing into a field and browser shortcuts are left alone. */

/** Run `actions[key]()` for a key pressed outside of fields and open dialogs. */
export function onKeys(actions) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const action = actions[event.shiftKey ? `Shift+${event.key}` : event.key] ?? actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function isTyping(target) {
  return target.closest?.("input, textarea, select, dialog") !== null;
}
