// Conversations, the one that is open, and the box to write in.

import { ask, path } from "./api.js";
import { at, empty, fill, make, said } from "./dom.js";
import { moment, short, shortId, visible } from "./words.js";

const SHOWN = 50;
const MAX_SHOWN = 20_000;
let open = "";
let shown = [];

export async function showConversations() {
  const { conversations } = await ask("GET", "/messages/conversations?limit=200");
  const rows = conversations.map((each) => make("li", {}, make(
    "button",
    { type: "button", "aria-current": String(each.peerId === open), "data-peer": each.peerId, onclick: () => show(each.peerId, each.peerName) },
    said(short(each.peerName || shortId(each.peerId), 40), { class: "cut" }),
    each.unreadCount ? make("span", { class: "badge", title: "unread" }, String(each.unreadCount)) : "",
    said(short(each.lastMessage, 60), { class: "last cut" }),
  )));
  fill("conversations", ...(rows.length > 0 ? rows : [empty("No messages yet")]));
}

/** Open the conversation with a peer and mark it read. */
export async function show(peer, name = "") {
  open = peer;
  const found = await ask("GET", `${path("messages", peer)}?limit=${SHOWN}`);
  if (open !== peer) return;
  shown = found.messages.reverse();
  const called = name || found.peerName;
  at("thread-title").replaceChildren(...(called ? [said(short(called, 40)), " "] : []), shortId(peer));
  for (const id of ["text", "send"]) at(id).disabled = false;
  draw();
  at("text").focus({ preventScroll: true });
  await ask("POST", `${path("messages", peer)}/read`, {});
  await showConversations();
}

/** Messages that came or went while the page is open. */
export async function refresh(peers) {
  await showConversations();
  if (!open || !peers.has(open)) return;
  const peer = open;
  const { messages } = await ask("GET", `${path("messages", peer)}?limit=${SHOWN}`);
  if (open !== peer) return;
  shown = messages.reverse();
  draw();
  if (document.visibilityState === "visible" && shown.some((each) => each.direction === "inbound" && !each.read)) {
    await ask("POST", `${path("messages", peer)}/read`, {});
    await showConversations();
  }
}

/** A message of ours came further. */
export function deliver({ messageId, state }) {
  const found = shown.find((each) => each.messageId === messageId);
  if (!found) return;
  found.state = state;
  draw();
}

function draw() {
  const box = at("thread");
  const below = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  fill("thread", ...shown.map(message));
  if (below || shown.at(-1)?.direction === "outbound") box.scrollTop = box.scrollHeight;
}

function message(each) {
  const text = each.content.length > MAX_SHOWN ? `${each.content.slice(0, MAX_SHOWN)}… (${each.content.length} characters)` : each.content;
  const facts = [moment(each.timestamp)];
  if (!["text", "chat"].includes(each.messageType)) facts.push(short(each.messageType, 40));
  if (each.direction === "outbound") facts.push(short(each.state, 20));
  return make(
    "article",
    { class: `message ${each.direction === "outbound" ? "outbound" : "inbound"}` },
    make("p", { dir: "auto" }, visible(text, true)),
    make("footer", {}, facts.join(" · ")),
  );
}

export function wire(report) {
  at("compose").addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = at("text").value;
    if (!open || !text.trim()) return;
    at("send").disabled = true;
    try {
      await ask("POST", "/send", { peerId: open, message: text });
      at("text").value = "";
      await refresh(new Set([open]));
    } catch (error) {
      report(error);
    } finally {
      at("send").disabled = false;
    }
  });
  at("text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    at("compose").requestSubmit();
  });
  at("new-talk").addEventListener("submit", (event) => {
    event.preventDefault();
    const peer = at("new-peer").value.trim();
    at("new-peer").value = "";
    show(peer).catch(report);
  });
}
