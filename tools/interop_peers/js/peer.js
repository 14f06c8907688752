// A js-libp2p node as agents of other implementations are: commands and answers as JSON lines (README.md, one folder up).
// Its direct messages are framed as a stock bsv-p2p daemon does it: the length and the body in two writes.

import { createInterface } from 'node:readline'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { peerIdFromString } from '@libp2p/peer-id'

const MESSAGE = '/openclaw/message/1.0.0'
const PING = '/openclaw/ping/1.0.0'
const MOST = 4 * 1024 * 1024
const LIFETIME_MS = Number(process.env.LIFETIME_MS ?? 110_000)

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws', '/p2p-circuit'] },
  transports: [tcp(), webSockets(), circuitRelayTransport()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  // A test is one address that connects often: by default five connections a second are let in from one.
  connectionManager: { inboundConnectionThreshold: 100_000, maxIncomingPendingConnections: 1_000, maxConnections: 10_000 },
  services: {
    identify: identify(),
    // All peers of a test have one address, for which the scores would turn against them.
    pubsub: gossipsub({ emitSelf: false, allowPublishToZeroTopicPeers: true, scoreParams: { IPColocationFactorWeight: 0 } })
  }
})

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)
const own = node.peerId.toString()

function prefix (length) {
  const bytes = []
  for (; length > 127; length = Math.floor(length / 128)) bytes.push((length % 128) | 128)
  return Uint8Array.from([...bytes, length])
}

// The first frame of a stream; what comes after it is left alone.
async function readFrame (stream) {
  let held = Buffer.alloc(0)
  for await (const chunk of stream) {
    held = Buffer.concat([held, Buffer.from(chunk.subarray())])
    const end = held.findIndex((byte) => byte < 128)
    if (end < 0) continue
    const length = held.subarray(0, end + 1).reduce((sum, byte, at) => sum + (byte & 127) * 128 ** at, 0)
    if (length > MOST) throw new Error(`a frame of ${length} bytes`)
    if (held.length > end + length) return JSON.parse(held.subarray(end + 1, end + 1 + length).toString('utf8'))
  }
  throw new Error('the stream ended before its frame')
}

async function writeFrame (stream, body) {
  const bytes = new TextEncoder().encode(JSON.stringify(body))
  for (const part of [prefix(bytes.length), bytes]) {
    if (!stream.send(part)) await stream.onDrain({ signal: AbortSignal.timeout(20_000) })
  }
}

await node.handle(MESSAGE, async (stream, connection) => {
  try {
    const message = await readFrame(stream)
    say({ event: 'message', peer: connection.remotePeer.toString(), limited: connection.limits != null, message })
  } catch (error) {
    say({ event: 'stream_failed', protocol: MESSAGE, error: error.message })
    stream.abort(error)
  }
}, { runOnLimitedConnection: true })

await node.handle(PING, async (stream) => {
  try {
    const asked = await readFrame(stream)
    await writeFrame(stream, { type: 'pong', timestamp: Date.now(), from: own, inResponseTo: asked.ts ?? asked.timestamp })
    await stream.close()
  } catch (error) {
    stream.abort(error)
  }
})

node.services.pubsub.addEventListener('message', ({ detail }) => {
  const from = detail.type === 'signed' ? detail.from.toString() : ''
  say({ event: 'gossip', topic: detail.topic, from, data: new TextDecoder().decode(detail.data) })
})

async function open (peer, protocol) {
  const target = peer.startsWith('/') ? multiaddr(peer) : peerIdFromString(peer)
  return await node.dialProtocol(target, protocol, { runOnLimitedConnection: true, signal: AbortSignal.timeout(20_000) })
}

const commands = {
  async connect ({ addr }) {
    const connection = await node.dial(multiaddr(addr), { signal: AbortSignal.timeout(20_000) })
    return { peer: connection.remotePeer.toString(), limited: connection.limits != null }
  },
  async identify ({ peer }) {
    const found = await node.peerStore.get(peerIdFromString(peer))
    return { protocols: [...found.protocols].sort(), addrs: found.addresses.map(({ multiaddr }) => multiaddr.toString()) }
  },
  async send ({ peer, message }) {
    const stream = await open(peer, MESSAGE)
    await writeFrame(stream, message)
    await stream.close({ signal: AbortSignal.timeout(2_000) }).catch(() => {})
    return {}
  },
  async ping ({ peer, body }) {
    const stream = await open(peer, PING)
    await writeFrame(stream, body)
    const answer = await readFrame(stream)
    await stream.close().catch(() => {})
    return { answer }
  },
  async subscribe ({ topic }) {
    node.services.pubsub.subscribe(topic)
    return {}
  },
  async subscribers ({ topic }) {
    return { peers: node.services.pubsub.getSubscribers(topic).map(String) }
  },
  async publish ({ topic, data }) {
    const sent = await node.services.pubsub.publish(topic, new TextEncoder().encode(data))
    return { peers: sent.recipients.map(String) }
  },
  async addresses () {
    return { addrs: node.getMultiaddrs().map(String) }
  }
}

say({ event: 'ready', peer: own, addrs: node.getMultiaddrs().map(String) })
setTimeout(() => process.exit(1), LIFETIME_MS).unref()

for await (const line of createInterface({ input: process.stdin })) {
  const { id, cmd, timeout_ms: _, ...given } = JSON.parse(line)
  Promise.resolve(given)
    .then(async (all) => await commands[cmd](all))
    .then((answer) => { say({ id, ok: true, ...answer }) })
    .catch((error) => { say({ id, ok: false, error: error.message }) })
}
await node.stop()
process.exit(0)
