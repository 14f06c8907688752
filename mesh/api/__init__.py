"""The control API of a running node: HTTP with a token, on loopback or a Unix socket.

`server` runs it inside the node's loop, `guard` decides who may ask, the other modules are the routes. Loaded only when
the API is on.
"""
