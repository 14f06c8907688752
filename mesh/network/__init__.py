"""Where asyncio meets the machines.

`driver` is the one `asyncio.BufferedProtocol`: it feeds a stack of machines (`upgrade`: negotiation, security,
negotiation; then the channel and yamux) and sends what they put out. `connection` and `stream` are what programs hold.
`security` is the table of Noise and TLS. `tcp` and `memory` make byte transports, `swarm` dials, listens and keeps
connections by peer. `scope` owns tasks, `memory_counter` counts bytes held by the whole node.
"""
