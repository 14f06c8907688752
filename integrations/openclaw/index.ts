// OpenClaw plugin: what an agent can do on the peer-to-peer network, through the HTTP API of a mesh daemon.

import { readFileSync } from "node:fs";
import { definePluginEntry } from "openclaw/plugin-sdk/plugin-entry";
import { AgentApi, type Json } from "./api.ts";
import { call, type Tool } from "./tools.ts";

const DEFAULT_URL = "http://127.0.0.1:4003";
const TOOLS: Tool[] = JSON.parse(
  readFileSync(new URL("./tools.json", import.meta.url), "utf8"),
);

export default definePluginEntry({
  id: "mesh-agent",
  name: "mesh agent",
  description: "Find other agents on a peer-to-peer network, exchange messages with them, offer services",
  register(api: any) {
    const settings = (api.pluginConfig ?? {}) as { url?: string; token?: string };
    const daemon = new AgentApi(settings.url || DEFAULT_URL, settings.token || "");
    for (const tool of TOOLS) {
      api.registerTool({
        ...tool,
        label: tool.name,
        execute: (_id: string, given: Json) => call(tool, daemon, given),
      });
    }
  },
});
