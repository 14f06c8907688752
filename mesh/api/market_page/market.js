// What the marketplace's API shows, looked at again every few seconds.

import { at, empty, fill, make, said } from "./dom.js";

const EVERY_MS = 3000;

async function look(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
  return answer.json();
}

const price = (number) => make("span", { class: "price" }, number ? `${number} USDC` : "free");

const listed = (found, row, nothing) => (found.length ? found.map(row) : [empty(nothing)]);

function offer(agent) {
  const by = make("small", {}, said(agent.sellerId), " · ", said(agent.id));
  return make("li", {}, price(agent.price), said(agent.name), by);
}

function own(agent) {
  return make("li", {}, price(agent.price), said(agent.name), make("small", {}, said(agent.description ?? "")));
}

function order(each) {
  const about = make("small", {}, said(each.orderId), " · ", said(each.agentId));
  return make("li", {}, price(each.price), said(each.status), about);
}

function workflow(each) {
  const done = each.steps.filter((step) => step.status === "completed").length;
  return make("li", {}, said(each.status), make("small", {}, said(each.id), ` · ${done} of ${each.steps.length} steps`));
}

async function draw() {
  const parts = ["/status", "/agents", "/agents/local", "/orders", "/workflows"];
  const [status, agents, mine, orders, workflows] = await Promise.all(parts.map(look));
  at("node").replaceChildren(said(status.peerId), ` · ${status.connectedPeers} peers · `, said(status.walletAddress || "no wallet"));
  fill("agents", ...listed(agents, offer, "Nobody offers anything yet."));
  fill("own", ...listed(mine, own, "This node offers nothing."));
  fill("orders", ...listed(orders, order, "None."));
  fill("workflows", ...listed(workflows, workflow, "None."));
}

async function again() {
  try {
    await draw();
    at("notice").hidden = true;
    tell("good", "the API answers");
  } catch (error) {
    at("notice").textContent = String(error.message);
    at("notice").hidden = false;
    tell("bad", "the API does not answer");
  }
  document.body.dataset.live = "true";
  setTimeout(again, EVERY_MS);
}

function tell(colour, text) {
  at("health").className = `dot ${colour}`;
  at("health").setAttribute("aria-label", text);
}

again();
