"""The conformance harness: pointed at any libp2p peer, it says case by case whether the peer conforms.

A case is data (`Case`: id, level, what is done, what a conforming peer does, source, limit, flags) and a short function.
Cases stand in `mesh.conformance.cases`, one module a section of a protocol, and register themselves:

    header = Section("multistream/1", "Header", "connections: multistream-select")

    @header.must(3, "Header of version 2.0.0", "connection ends, nothing negotiated", limit_s=3)
    async def other_version(attempt: Attempt) -> None:
        wire = await attempt.wire()
        wire.send(token("/multistream/2.0.0"))
        await wire.ended()

How to write one:

1. Choose the floor. `Attempt` gives the target ready made up to any floor: `wire` (a bare TCP connection), `secured` (an
   encrypted channel with no muxer), `session` (yamux) and `stream` (negotiated). What fails below the floor that the case
   is about is an `error`, not a `fail`.
2. Send what no machine of ours would: `wire.send` takes any bytes, `NoiseClient` is the handshake cut into steps with a
   hook at each, `Session.send_frame` takes any number in any field of a yamux header. Everything a peer sends is kept:
   `exactly`, `token`, `message`, `rest`, `ended`, `silent_for` and `frame` wait for it, for `limit_s` at most, and raise
   `Deviation` when it does not come.
3. Return for a pass, a text to say what was seen (that is all a MAY case does), `raise Deviation(what was seen)` when the
   peer does not conform, `raise Skipped(why)` when the case cannot be tried. A `Deviation` may have a level of its own.
4. Accept every ending that the specification allows: `ended` takes FIN, RST and a go away frame alike.
5. Flags: `harmful=True` floods or makes the target allocate, `slow=True` takes over ten seconds, `needs=(...)` are
   protocols without which the case is skipped, `hurts=True` asks for a health check behind it (negative cases).
   Cases of one ``lane`` run one after another: those that share a topic of the target, or a limit of it.
   ``security="noise"`` or `"tls"` is for cases about one of them, ``transport="quic"`` for cases that need the target's
   QUIC address; all others get its TCP address.
6. Draw all randomness from `attempt.rng`, so that a case can be repeated by its id and seed.
7. A new module of `cases` with a `SECTION` is found by itself.
8. Cases for dialers stand in a section with ``mirrored=True`` (ids end in `m`): their attempt is a `TcpMirror` or, with
   ``transport="quic"``, a `QuicMirror`, whose connections the peer under test makes.

While a case runs, the target's yamux pings and its identify, push and ping streams are answered (`services`); a case adds
a protocol of its own with ``attempt.serves[protocol] = coroutine``, which identify then tells the target.
"""
