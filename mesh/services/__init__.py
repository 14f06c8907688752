"""Protocols on a live node: an exchange each, over the streams of `mesh.network`.

`registry` is the table of what is served; `identify`, `ping`, `echo` and `perf` are the first exchanges. A new one is a
codec, a handler of a few lines and a line in the node's service list.
"""
