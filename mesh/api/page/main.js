// Puts the parts together: loads them, listens for what happens, and looks again.

import { ask, listen, Refused, token } from "./api.js";
import { at } from "./dom.js";
import * as network from "./network.js";
import * as people from "./people.js";
import * as talk from "./talk.js";
import { visible } from "./words.js";

const LOOK_MS = 5000;
const GATHER_MS = 250;

let tracked = [];
let found = [];
const stale = new Set();
const touched = new Set();
let gathering = 0;

function report(error) {
  if (error instanceof Refused && error.status === 401) {
    at("login").hidden = false;
    return;
  }
  const text = error instanceof Refused ? error.message : "the daemon does not answer";
  at("notice").textContent = visible(text);
  at("notice").hidden = false;
  setTimeout(() => { at("notice").hidden = true; }, 8000);
}

const open = (peer, name) => {
  at("talk").scrollIntoView();
  talk.show(peer, name).catch(report);
};

async function showNetwork() {
  const [status, { peers }] = await Promise.all([network.showHealth(), ask("GET", "/peers")]);
  network.showTopology(status, peers, tracked, found);
}

const parts = {
  talk: () => { const peers = new Set(touched); touched.clear(); return talk.refresh(peers); },
  peers: async () => { tracked = await people.showPeers(open); },
  found: async () => { found = await people.showFound(open); },
  own: () => people.showOwnServices(report),
  network: showNetwork,
};

/** Look again at a part soon; many wishes within a moment are one look. */
function later(...names) {
  for (const name of names) stale.add(name);
  gathering ||= setTimeout(look, GATHER_MS);
}

async function look() {
  const names = Object.keys(parts).filter((name) => stale.has(name));
  stale.clear();
  for (const name of names) {
    try {
      await parts[name]();
    } catch (error) {
      report(error);
    }
  }
  gathering = stale.size > 0 ? setTimeout(look, GATHER_MS) : 0;
}

function take(name, event) {
  if (name === "message" || name === "sent") {
    network.count(name === "message" ? "in" : "out");
    touched.add(event.from ?? event.to);
    later("talk");
  } else if (name === "delivery") {
    talk.deliver(event);
  } else if (name === "peer") {
    later("peers", "network");
  } else if (name === "directory") {
    later("found", "network");
  } else {
    later("talk", "peers", "found", "network");
  }
}

at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(at("token").value.trim());
  location.reload();
});
at("own-id").addEventListener("click", () => navigator.clipboard?.writeText(at("own-id").textContent));
talk.wire(report);
people.wire(report);
later(...Object.keys(parts));
listen(take, (connected) => {
  document.body.dataset.live = String(connected);
  if (connected) later("talk", "peers", "found", "network");
});
setInterval(() => { if (document.visibilityState === "visible") later("network"); }, LOOK_MS);
setInterval(network.turn, 1000);
network.turn();
