"""Beam's service network on a live node: services under names, found without a server, and tunnels to them.

====================  ================================================================================================
module                what it is
====================  ================================================================================================
``beam``              `Beam`: what the API, the console and programs use; puts the other parts together
``registry``          services: register, find, announce again, withdraw
``finding``           a service's way: cache, what was heard, the DHT, a question to everybody
``name_book``         names: whose they are, as signed records and first sight say
``directory``         the DHT as Beam sees it: records written to a majority, read, judged
``gossip``            what is said to everybody: `/beam/gossip/1.0.0` and pubsub topics
``neighbours``        one neighbour's queue and stream
``store``             ``beam.sqlite`` of the data folder
``outbox_keeper``     registrations that reached nobody yet
``exposures``         what this node lets others reach, and who may
``tunnel_server``     tunnels and probes from others
``tunnel``            a local port that leads to a service at whichever provider answers
``carrying``          bytes between a stream and a TCP connection
``watchman``          probes of the providers in use
``standing``          the figures of this node's part in the network
``paths``             by which connection a new stream to a peer goes: `Paths`, the seam for quality routing
``levels``             what taking part turns on, by level of participation
====================  ================================================================================================
"""
