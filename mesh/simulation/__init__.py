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
``gossip_parameters`` what is simulated of GossipSub: `GossipParameters`, attacks, score settings
``gossip_packets``    messages, and RPCs with their bytes by kind; equal bytes are decoded once
``gossip_streams``    `Streams` between nodes: delays, loss, partitions, what was sent
``gossip_nodes``      one honest node: the real router and scores
``gossip_attackers``  nodes that spam, lie, graft against the rules or pass nothing on
``gossip_network``    a population of both: connections, churn, partitions, publishers
``gossip_tally``      which node got which message when, over how many hops
``gossip_figures``    what is told of a run
``gossip``            a run of GossipSub from parameters to report
``gossip_report``     that run as JSON, Markdown and words
``push_gossip``       how far a rumour gets by random fanout (`mesh.protocols.gossip.spread`), in rounds
``dht``               a run of Kademlia from parameters to report
``report``            a run of Kademlia as JSON, Markdown and words
====================  =================================================================================================

The same seed and parameters give the same figures, byte for byte; only time and memory of the machine differ.
"""
