/** The public REST interface: the same answers that any program gets. */

export class ApiError extends Error {
  /** `code` is the stable code of the problem, or "unreachable" when no answer came at all. */
  constructor(code, detail, status = 0, retryAfterS = null) {
    super(detail);
    this.code = code;
    this.status = status;
    this.retryAfterS = retryAfterS;
  }

  /** True when the same request could succeed a moment later. */
  get isTransient() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Up to `limit` candles, oldest first, the forming one included; `from`/`to` in epoch ms (half-open). */
export function candles({ symbol, interval, from, to, limit = 500, cursor }, signal) {
  return get("/candles", { symbol, interval, from, to, limit, cursor, state: "all" }, signal);
}

/** What is held and what is missing of a symbol from `from` (epoch ms) until now. */
export function coverage({ symbol, from }, signal) {
  return get("/coverage", { symbol, from }, signal);
}

/** The symbols that are watched, or with `all` every symbol that the exchange lists. */
export async function symbols({ all = false } = {}, signal) {
  const answer = await get("/symbols", all ? {} : { enabled: "true" }, signal);
  return answer.symbols;
}

/** The pipeline as the operator's page shows it. */
export function pipeline(signal) {
  return get("/status.json", {}, signal);
}

async function get(path, query, signal) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null) url.searchParams.set(name, value);
  }
  const response = await reach(url, signal);
  if (!response.ok) throw await problem(response);
  return response.json();
}

async function reach(url, signal) {
  try {
    return await fetch(url, { signal, headers: { Accept: "application/json" }, cache: "no-cache" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("unreachable", "The server cannot be reached.");
  }
}

async function problem(response) {
  const retryAfterS = Number(response.headers.get("Retry-After")) || null;
  try {
    const { code, detail, title } = await response.json();
    return new ApiError(code ?? "internal", detail ?? title ?? `HTTP ${response.status}`, response.status, retryAfterS);
  } catch {
    return new ApiError("internal", `HTTP ${response.status}`, response.status, retryAfterS);
  }
}
