"""Networks in virtual time: the machines of `mesh.protocols` with no socket, no loop and no clock but the simulation's.

====================  =================================================================================================
module                what it is
====================  =================================================================================================
``world``             `World`: the virtual clock and its queue, seeded randomness; `Alarm` for a machine's deadline
``links``             `Links`: what lies between nodes: latency, loss, partitions
``figures``           samples and what is told of them: means, percentiles, shares
``dht_parameters``    what is simulated: `DhtParameters`
``dht_nodes``         one Kademlia node: the real table, timeouts and refresh schedule, and what it answers
``dht_exchange``      requests between such nodes: setting connections up, keeping them, losing them
``dht_search``        operations of a node: lookups, registrations, discoveries
``dht_network``       a population of them: joins, churn, workload, figures
``compact_tables``    routing tables of a million peers in numpy arrays (extra `sim`)
``compact_dht``       lookups over those with the real lookup machine
``comparison``        both engines on one seed, and how far apart they are
``report``            a run as JSON, Markdown and words
====================  =================================================================================================

The same seed and parameters give the same figures, byte for byte; only time and memory of the machine differ.
"""
