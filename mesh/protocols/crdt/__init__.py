"""The Merkle-CRDT of go-ds-crdt 0.6.8: a replicated mapping whose history is a DAG of blocks.

Each change is a dag-pb node whose data is a delta and whose links are the heads its writer knew. A replica that knows
a set of nodes has one state whatever the order in which they came: an add-wins set of (key, block), of which the
highest block of each key is seen, greater bytes first among equals. Replicas tell each other their heads and fetch what
they lack.

=============  ======================================================================================================
module         decision
=============  ======================================================================================================
`delta`        what a node of the DAG holds
`state`        what a replica reads, and the changes over it that have still to be written
`layout`       under which keys of a datastore a replica keeps what it knows: those of the original
`values`       how a delta changes the mapping
`branches`     which nodes are missing below a head that was heard of, and in which order they can be merged
`replica`      the machine: local changes, heads from others, rebroadcast
=============  ======================================================================================================

Where ours is not the original: a node is merged after everything below it, never before. So the set of merged nodes is
closed at every instant, a crash leaves nothing to repair, and a branch without end changes nothing; the original merges
from the top and walks the whole DAG again after a failure. What is missing is written down and fetched after a restart.
The order makes no difference to the state that both arrive at, to heads or to anything on the wire.
"""
