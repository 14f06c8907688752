// The address book and the services, ours and others'.

import { ask, path } from "./api.js";
import { at, empty, fill, make, said } from "./dom.js";
import { moment, short, shortId } from "./words.js";

const MOST = 200;

export async function showPeers(talk) {
  const { peers } = await ask("GET", "/peers/tracked?limit=2000");
  const ordered = peers.sort((one, other) => Number(other.isOnline) - Number(one.isOnline) || other.lastSeen - one.lastSeen);
  const online = peers.filter((each) => each.isOnline).length;
  at("peers-count").textContent = `${online} online of ${peers.length}`;
  fill("peer-rows", ...ordered.slice(0, MOST).map((peer) => make(
    "tr",
    {},
    make("td", {}, make("span", { class: peer.isOnline ? "dot good" : "dot", role: "img", "aria-label": peer.isOnline ? "online" : "offline" }), said(short(peer.name, 40))),
    make("td", { class: "peer", title: peer.peerId }, shortId(peer.peerId)),
    make("td", {}, moment(peer.lastSeen)),
    make("td", {}, `${peer.messagesSent} ↑ ${peer.messagesReceived} ↓`),
    make("td", {}, ...peer.tags.slice(0, 8).flatMap((tag, index) => [index ? ", " : "", said(short(tag, 20))])),
    make("td", {}, make("button", { type: "button", onclick: () => talk(peer.peerId, peer.name) }, "Write")),
  )));
  return peers;
}

const price = (service) => `${short(service.price, 20)} sats`;

function described(service, who, ...actions) {
  return make(
    "li",
    {},
    make("div", {}, said(short(service.name, 80)), ` — ${price(service)}`, make("p", {}, said(short(service.description ?? service.id, 200)), who)),
    ...actions,
  );
}

export async function showOwnServices(report) {
  const { services } = await ask("GET", "/services");
  const rows = services.map((each) => described(each, "", make(
    "button",
    { type: "button", onclick: () => ask("DELETE", path("services", each.id)).then(() => showOwnServices(report)).catch(report) },
    "Withdraw",
  )));
  fill("own-services", ...(rows.length > 0 ? rows : [empty("None")]));
}

export async function showFound(talk) {
  const { peers } = await ask("GET", "/discover");
  const rows = peers.slice(0, MOST).flatMap((peer) => peer.services.slice(0, 20).map((each) => described(
    each,
    ` · ${shortId(peer.peerId)}${peer.heardFrom ? `, as ${shortId(peer.heardFrom)} says` : ""}`,
    make("button", { type: "button", onclick: () => talk(peer.peerId) }, "Write"),
  )));
  fill("found-services", ...(rows.length > 0 ? rows : [empty("Nobody has announced any")]));
  return peers;
}

export function wire(report) {
  at("offer").addEventListener("submit", async (event) => {
    event.preventDefault();
    const { id, name, description, price: asked } = Object.fromEntries(new FormData(event.target));
    const service = { id, name, price: Number(asked), currency: "bsv", ...(description ? { description } : {}) };
    try {
      await ask("POST", "/services", service);
      event.target.reset();
      await showOwnServices(report);
    } catch (error) {
      report(error);
    }
  });
}
