// The agent API, which this page comes from.

const KEY = "mesh-agent-token";

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
};

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** The answer's object; throws Refused with the API's own words. An answer of 503 to /health is one as well. */
export async function ask(method, path, body) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  if (token.get()) headers.authorization = `Bearer ${token.get()}`;
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok && !("isHealthy" in found)) throw new Refused(answer.status, found.error ?? `status ${answer.status}`);
  return found;
}

export const path = (...parts) => parts.map((part) => `/${encodeURIComponent(part)}`).join("");

/** Listens to the daemon's events for as long as the page is there; `changed(connected)` tells of the connection. */
export function listen(take, changed) {
  const source = new EventSource(token.get() ? `/events?token=${encodeURIComponent(token.get())}` : "/events");
  source.onopen = () => changed(true);
  source.onerror = () => {
    changed(false);
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(take, changed), 3000);
  };
  for (const name of ["message", "sent", "delivery", "peer", "directory", "lost"]) {
    source.addEventListener(name, (event) => take(name, JSON.parse(event.data)));
  }
}
