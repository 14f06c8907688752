"""Self-describing values: varints, multibase, multihash, CID and multiaddr, each in bytes and text.

The bottom floor: pure functions and immutable values which import nothing of mesh but its errors.
"""
