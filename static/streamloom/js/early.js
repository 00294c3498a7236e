/* Runs before the first paint, so that a chosen theme never flashes the other one. Not a module for that reason. */
(() => {
  const root = document.documentElement;
  const kept = (key, fallback) => {
    try {
      return localStorage.getItem(key) || fallback;
    } catch {
      return fallback;
    }
  };
  root.dataset.theme = kept("streamloom.theme", "system");
  root.dataset.palette = kept("streamloom.palette", "classic");
})();
