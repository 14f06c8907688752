"""Files and directories as trees of blocks (IPFS specs, UnixFS 1), without a store or a network.

`files` cuts bytes into blocks as go-ipfs does by default: chunks of 256 KiB, 174 links a node, a balanced tree.
`reading` turns such a tree into bytes again and says which blocks it wants next. `directories` writes and reads both
kinds of directories: one node, or a hash-array mapped trie when one node would be too large.
"""
