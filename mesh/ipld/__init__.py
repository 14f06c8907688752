"""Linked data named by its hash: blocks, dag-pb nodes.

Pure: no store, no network. A block is bytes and the CID that they hash to; whoever holds a `Block` may rely on that.
"""
