// Health, rates and the picture of who is connected.

import { ask } from "./api.js";
import { at, draw, fill, make } from "./dom.js";
import { short, shortId, span } from "./words.js";

const SECONDS = 60;
const RING = 24;
const counts = { in: new Array(SECONDS).fill(0), out: new Array(SECONDS).fill(0) };

export const count = (way, number = 1) => { counts[way][SECONDS - 1] += number; };

/** Once a second: the curves move on. */
export function turn() {
  const most = Math.max(1, ...counts.in, ...counts.out);
  for (const way of ["in", "out"]) {
    const points = counts[way].map((each, index) => `${index ? "L" : "M"}${(index * 240) / (SECONDS - 1)} ${58 - (each * 56) / most}`);
    const curve = at("rates").querySelector(`.${way}`) ?? at("rates").appendChild(draw("path", { class: way }));
    curve.setAttribute("d", points.join(""));
    at(`rate-${way}`).textContent = String(counts[way][SECONDS - 1]);
    counts[way].shift();
    counts[way].push(0);
  }
}

export async function showHealth() {
  const [status, health] = await Promise.all([ask("GET", "/status"), ask("GET", "/health")]);
  const well = health.isHealthy;
  at("own-name").textContent = short(status.name ?? "mesh agent", 60);
  document.title = `${short(status.name ?? "", 40)} – mesh agent`;
  at("own-id").textContent = status.peerId;
  at("health-dot").className = `dot ${well ? "good" : "bad"}`;
  at("health-dot").setAttribute("aria-label", well ? "healthy" : "not healthy");
  const card = (label, value, kind = "") => make("div", { class: `card ${kind}` }, make("span", {}, label), make("b", {}, value));
  const errors = (health.errors ?? []).map((each) => short(each, 200)).join("; ");
  fill(
    "health",
    card("Health", well ? "healthy" : "not healthy", well ? "good" : "bad"),
    card("Connected peers", String(status.connectedPeers)),
    card("Up for", span(status.uptime ?? 0)),
    card("Relay", status.relayAddress ? "reserved" : status.relayConnected ? "connected" : "none"),
    ...(errors ? [card("What is wrong", errors, "wide bad")] : []),
    ...(status.relayAddress ? [card("Relay address", short(status.relayAddress, 200), "wide")] : []),
  );
  return status;
}

/** This node in the middle, connected peers around it, those only heard of on the outer ring. */
export function showTopology(status, connected, tracked, found) {
  const names = new Map(tracked.map((each) => [each.peerId, each.name]));
  const near = new Set(connected.map((each) => each.peerId));
  const far = found.map((each) => each.peerId).filter((each) => !near.has(each));
  const relay = status.relayAddress?.match(/\/p2p\/(\w+)\/p2p-circuit/)?.[1];
  const picture = [];
  const ring = (peers, radius, kind) => peers.slice(0, RING).forEach((peer, index, all) => {
    const angle = (2 * Math.PI * index) / all.length - Math.PI / 2 + (kind ? 0 : Math.PI / 7);
    const [x, y] = [160 + radius * 1.4 * Math.cos(angle), 112 + radius * Math.sin(angle)];
    if (kind) picture.unshift(draw("line", { x1: 160, y1: 112, x2: x, y2: y }));
    const label = `${short(names.get(peer) || shortId(peer), 14)}${peer === relay ? " (relay)" : ""}`;
    picture.push(draw("circle", { cx: x, cy: y, r: 7, class: kind }, draw("title", {}, short(peer, 128))), draw("text", { x, y: y + 18 }, label));
  });
  ring([...near], 58, "online");
  ring(far, 96, "");
  picture.push(draw("circle", { cx: 160, cy: 112, r: 10, class: "self" }), draw("text", { x: 160, y: 134 }, "this agent"));
  fill("topology", ...picture);
  at("topology-caption").textContent = `${near.size} connected, ${far.length} more heard of`;
}
