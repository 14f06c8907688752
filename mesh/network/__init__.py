"""Where asyncio meets the machines.

`driver` is the one `asyncio.BufferedProtocol`: it feeds a stack of pure machines (`upgrade`: negotiation, Noise,
negotiation; then Noise and yamux) and sends what they put out. `connection` and `stream` are what programs hold.
`tcp` and `memory` make byte transports, `swarm` dials, listens and keeps connections by peer. `scope` owns tasks,
`memory_counter` counts bytes held by the whole node.
"""
