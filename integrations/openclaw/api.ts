// Asks the agent API of a mesh daemon.

import { oneLine } from "./words.ts";

export type Json = Record<string, any>;

const ANSWER_MS = 120_000;

/** Nothing answers where the daemon should be. */
export class NotRunning extends Error {
  constructor() {
    super("P2P node not running. Start it with: mesh daemon --agent");
  }
}

/** The API's own words for what it does not do. */
export class Declined extends Error {}

export class AgentApi {
  private readonly url: string;
  private readonly token: string;

  constructor(url: string, token: string) {
    this.url = url.replace(/\/+$/, "");
    this.token = token;
  }

  /** The answer's object; throws NotRunning, Declined. */
  async ask(method: string, path: string, body?: Json, query: Json = {}): Promise<Json> {
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
    const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (this.token) headers.authorization = `Bearer ${this.token}`;
    let answer: Response;
    try {
      answer = await fetch(`${this.url}${path}${search ? `?${search}` : ""}`, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        redirect: "error",
        signal: AbortSignal.timeout(ANSWER_MS),
      });
    } catch (error) {
      if ((error as Error).name === "TimeoutError") throw new Declined("the daemon did not answer in time");
      throw new NotRunning();
    }
    const found = await answer.json().catch(() => undefined);
    if (typeof found !== "object" || found === null || Array.isArray(found)) {
      throw new Declined(`the daemon's answer (${answer.status}) is not what this version expects`);
    }
    if (!answer.ok) throw new Declined(oneLine(found.error ?? `status ${answer.status}`, 800));
    return found;
  }
}

/** A part of a path; throws Declined for dots alone, which are a way up even when they are escaped. */
export function part(value: string): string {
  if (/^\.*$/.test(value)) throw new Declined("Not found");
  return encodeURIComponent(value).replace(/[!'()*]/g, (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`);
}
