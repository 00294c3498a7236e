/** What the chart says instead of candles: what is the matter, and the next step. */

const WORDS = {
  empty: (symbol) => ({
    title: `No candles of ${symbol} yet`,
    text: "They appear with its first trades. If none come, look at the pipeline, or enable the symbol in the admin.",
    links: [["/status", "Pipeline status"], ["/admin/", "Admin"]],
  }),
  unknown_symbol: (symbol) => ({
    title: `${symbol} is not known here`,
    text: "Press / to search for another symbol. New symbols of the exchange come with “python manage.py sync_symbols”.",
    links: [["/admin/", "Admin"]],
  }),
  no_symbols: () => ({
    title: "No symbols are watched yet",
    text: "Run “python manage.py sync_symbols” to fetch the exchange's list, then enable some in the admin. “make demo” does both.",
    links: [["/admin/", "Admin"], ["/status", "Pipeline status"]],
  }),
  unreachable: () => ({
    title: "The server cannot be reached",
    text: "It may be starting. This page tries again by itself.",
    links: [],
  }),
};

/** Show a problem `{code, detail}` in the element, or hide it for null. */
export function showNotice(element, problem, symbol) {
  element.hidden = !problem;
  if (!problem) return;
  const words = (WORDS[problem.code] ?? other)(symbol, problem);
  element.querySelector("[data-field=title]").textContent = words.title;
  element.querySelector("[data-field=text]").textContent = words.text;
  element.querySelector("[data-field=links]").replaceChildren(...words.links.map(link));
}

function other(_symbol, problem) {
  return { title: "The server could not answer", text: problem.detail ?? problem.code, links: [["/status", "Pipeline status"]] };
}

function link([href, label]) {
  const node = document.createElement("a");
  node.href = href;
  node.textContent = label;
  return node;
}
