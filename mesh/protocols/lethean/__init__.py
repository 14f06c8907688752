"""The Lethean mesh (go-p2p) without a world: no socket, clock, loop, file or randomness.

Times are arguments (`now`: seconds of any fixed origin; `unix_s`, `unix_ms`, `ts`: the calendar), and so are random
bytes and message ids. Everything from a peer that does not follow its form raises `mesh.errors.DecodeError` (Truncated or
Malformed) where a function reads it; machines never raise for what a peer did.

====================  ================================================================================================
module                doors
====================  ================================================================================================
`identity`            `NodeKey(private32)`: `.id`, `.public_text`, `.shared_secret(peer_text)`, `.identity(name, ts)`;
                      `Identity` (the record), `answer_challenge`, `verify_answer`
`envelope`            `Envelope.decode(bytes | str)`, `.encode()`, `.of(payload, ...)`, `.reply(...)`, `.payload(Record)`
`messages`            a record for each type (`Ping`, `Stats`, ...), `PAYLOADS`, `ErrorCode`, `DisconnectCode`
`session`             `Session(shared_secret)`: `.seal(envelope, nonce24, unix_s)`, `.open(data)`, `.password`
`smsg` `trix` `sigil` the three layers of encryption, each by itself
`timestamp`           `format_timestamp(unix_ns, offset_minutes)`, `read_timestamp`, `unix_ns`
`go_json`             JSON text as Go writes and reads it; `json_record`: records of it by a table of keys
`handshake`           `Dialer` and `Listener`: the handshake machine of either role; ends in `Accepted` or `Refused`
`keepalive`           `Keepalive`: when to ping, when a peer counts as gone
`intake`              what becomes of each message that arrives, in the specification's order
`dedup`               `SeenMessages`: ids of five minutes, with `snapshot` and `restore`; `SeenTable`: what `intake` asks
`rate_limit`          `TokenBucket`: 100 at once, 50 a second
`routing`             to whom a message goes: the waiting request, the worker, nobody
`correlation`         `Requests`: which answer belongs to which request, timeouts, what counts as failure
`names`               names of peers and bundles: `check_peer_name`, `check_bundle_name`
`peer`                `Peer`: the record of a known peer; `scores`: what success, failure and timeout do to it
`registry`            `PeerRegistry`: known peers, connected marks, modes, when and what to save
`selection`           the nearest peers by ping, hops, distance and score; `kd_tree` for queries from other points
`allowlist`           who may connect: `Allowlist`, `AuthMode`
`ueps`                `build_packet`, `read_packet`: TLV packets with an HMAC
`dispatcher`          `Dispatcher`: UEPS packets to handlers by intent, threat circuit breaker
`levin`               `LevinConnection`: packets, handshake, ping, timed sync; `portable_storage`: what they carry
`stim` `tarball`      encrypted bundles and the tar in them; `bundle`: profile and miner bundles, checksums
`compat`              `Strictness`: where ours is stricter than Go, and how to have Go's verdicts
====================  ================================================================================================

What touches the disk (`identity_files`, `peers_file`, `deployments`) is in `mesh.apps.lethean`.
"""
