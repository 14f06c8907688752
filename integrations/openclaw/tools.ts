// The tools: names, parameters and answers are those of `mesh agent mcp` (mesh/console/agent_tools.py).

import { type AgentApi, Declined, type Json, NotRunning, part } from "./api.ts";
import { fenced, iso, oneLine } from "./words.ts";

type Run = (api: AgentApi, given: Json) => Promise<string>;
export type Result = { content: { type: "text"; text: string }[]; details: Json; isError?: true };

const MOST = 100;

const service = (each: Json) =>
  `  - ${oneLine(each.name)}: ${oneLine(each.description || each.id)} (${oneLine(each.price)} sats)`;
const peerLine = (each: Json) =>
  `${oneLine(each.name)} (${oneLine(each.peerId)}), ${each.isOnline ? "online" : "offline"}`;
const short = (peerId: string) => `${oneLine(peerId).slice(0, 16)}...`;
const pretty = (value: unknown) => JSON.stringify(value, null, 2);
const many = (heading: string, lines: string[]) => [heading, ...lines].join("\n");

export const RUN: Record<string, Run> = {
  async p2p_discover(api, given) {
    const { peers } = await api.ask("GET", "/discover", undefined, { service: given.service });
    if (peers.length === 0) return "No peers found. Announcements come every five minutes; try again later.";
    const blocks = peers.slice(0, MOST).flatMap((peer: Json) => {
      const offered = peer.services.map(service);
      return ["", `Peer: ${oneLine(peer.peerId)}`, "Services:", ...(offered.length > 0 ? offered : ["  none"])];
    });
    return many(`Found ${peers.length} peer(s):`, blocks);
  },
  async p2p_send(api, given) {
    const found = await api.ask("POST", "/send", { peerId: given.peerId, message: given.message });
    const sent = `Message sent successfully to ${short(given.peerId)}`;
    if (!found.messageId) return sent;
    return many(sent, [`Message ID: ${oneLine(found.messageId)} (state: ${oneLine(found.state ?? "sent")})`]);
  },
  async p2p_status(api) {
    const found = await api.ask("GET", "/status");
    return many("P2P Daemon Status:", [
      `  Peer ID: ${found.peerId}`,
      `  Relay: ${found.relayAddress || "not connected"}`,
      `  Connected peers: ${found.connectedPeers}`,
      `  Healthy: ${found.isHealthy ? "yes" : "no"}`,
    ]);
  },
  async p2p_request(api, given) {
    const body = { peerId: given.peerId, service: given.service, params: given.input };
    return many(`Answer of ${short(given.peerId)}:`, fenced(pretty(await api.ask("POST", "/request", body))));
  },
  async p2p_pay(api, given) {
    const found = await api.ask("POST", "/pay", given);
    return `Payment message for ${oneLine(found.txid)} queued; it carries the transaction, it moves no money`;
  },
  async p2p_messages(api, given) {
    const { search, peer, direction, type } = given;
    const limit = Math.max(1, Math.min(given.limit ?? 20, MOST));
    const query = { peer, search, direction, type, limit, offset: Math.max(given.offset ?? 0, 0) };
    const found = await api.ask("GET", "/messages", undefined, query);
    const blocks = found.messages.flatMap((each: Json) => {
      const way = each.direction === "inbound" ? "from" : "to";
      const who = `${oneLine(each.peerId)} (${oneLine(each.messageType)})`;
      return ["", `${iso(each.timestamp)} ${way} ${who}`, ...fenced(each.content)];
    });
    return many(`${found.messages.length} of ${found.total} message(s), newest first:`, blocks);
  },
  async p2p_conversations(api) {
    const { conversations } = await api.ask("GET", "/messages/conversations");
    const lines = conversations.slice(0, MOST).map((each: Json) => {
      const who = `${oneLine(each.peerId)} (${oneLine(each.peerName || "no name")})`;
      return `${who}: ${each.messageCount} messages, ${each.unreadCount} unread, last ${iso(each.lastTimestamp)}`;
    });
    return many(`${conversations.length} conversation(s):`, lines);
  },
  async p2p_why(api, given) {
    return fenced(pretty(await api.ask("GET", `/messages/${part(given.messageId)}/why`))).join("\n");
  },
  async p2p_resumed(api, given) {
    await api.ask("POST", `/messages/${part(given.messageId)}/resumed`, { token: given.token });
    return "Confirmed: the sender will learn that you have the message";
  },
  async p2p_network(api) {
    const { peers } = await api.ask("GET", "/status/network");
    const lines = peers.slice(0, MOST).map((each: Json) => {
      const told = `${Math.trunc(each.connectedPeers)} peers, up ${Math.trunc(each.uptime)} s`;
      return `${oneLine(each.peerId)}: ${oneLine(each.name)}, ${told}`;
    });
    return many(`${peers.length} peer(s) told their status:`, lines);
  },
  async p2p_peers(api) {
    const { peers } = await api.ask("GET", "/peers/tracked");
    return many(`${peers.length} known peer(s):`, peers.slice(0, MOST).map(peerLine));
  },
  async p2p_peer(api, given) {
    const peer = await api.ask("GET", `/peers/tracked/${part(given.peerId)}`);
    const lines = [
      `Tags: ${peer.tags.map((each: string) => oneLine(each)).join(", ") || "none"}`,
      `First seen: ${iso(peer.firstSeen)}`,
      `Messages: ${peer.messagesSent} sent, ${peer.messagesReceived} received`,
      `Services: ${peer.services.map((each: string) => oneLine(each)).join(", ") || "none"}`,
    ];
    if (peer.notes) lines.push(`Notes: ${oneLine(peer.notes, 2000)}`);
    return many(peerLine(peer), lines);
  },
  async p2p_label_peer(api, given) {
    for (const field of ["name", "notes", "tags"]) {
      if (field in given) {
        await api.ask("PUT", `/peers/tracked/${part(given.peerId)}/${field}`, { [field]: given[field] });
      }
    }
    return `Kept for ${short(given.peerId)}`;
  },
  async p2p_services(api) {
    const { services } = await api.ask("GET", "/services");
    return many(`${services.length} service(s) offered:`, services.map(service));
  },
  async p2p_offer_service(api, given) {
    await api.ask("POST", "/services", { currency: "bsv", price: 0, ...given });
    return `Service ${oneLine(given.id)} is offered and will be announced`;
  },
  async p2p_withdraw_service(api, given) {
    await api.ask("DELETE", `/services/${part(given.id)}`);
    return `Service ${oneLine(given.id)} is no longer offered`;
  },
};

export type Tool = { name: string; description: string; parameters: Json };

/** What is wrong with the arguments, or an empty string: the host may hand on whatever a model made up. */
function fault(tool: Tool, given: Json): string {
  const known: Json = tool.parameters.properties;
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(known, name)) return `${oneLine(name, 16)} is no parameter of ${tool.name}`;
  }
  for (const [name, { type }] of Object.entries<Json>(known)) {
    if (!(name in given)) {
      if (tool.parameters.required.includes(name)) return `${name} is required`;
      continue;
    }
    const value = given[name];
    const found = Array.isArray(value) ? "array" : Number.isInteger(value) ? "integer" : typeof value;
    if (value === null || found !== type) return `${name} must be of type ${type}`;
  }
  return "";
}

/** The answer of a tool in OpenClaw's shape; what fails is told in words. */
export async function call(tool: Tool, api: AgentApi, given: Json): Promise<Result> {
  const { name } = tool;
  const wrong = fault(tool, given ?? {});
  if (wrong) return failed(`Error: ${wrong}`);
  try {
    return result(await RUN[name](api, given ?? {}));
  } catch (error) {
    if (error instanceof NotRunning) {
      return name === "p2p_status" ? result("P2P Node Status: OFFLINE") : failed(error.message);
    }
    if (error instanceof Declined) return failed(`Error in ${name}: ${error.message}`);
    return failed(`Error in ${name}: the daemon's answer is not what this version expects`);
  }
}

const result = (text: string): Result => ({ content: [{ type: "text", text }], details: {} });
const failed = (text: string): Result => ({ ...result(text), details: { failed: true }, isError: true });
