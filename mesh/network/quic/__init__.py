"""QUIC version 1 (`/udp/…/quic-v1`, RFC 9000 and 9001; libp2p QUIC).

Datagrams climb five steps, each a module of its own:

==============  ===================================================================================================
`datagrams`     a UDP socket on the loop: segmentation offload, back pressure, ICMP errors; `udp_options`, `watching`,
                `local_addresses` and `datagram_transport` are what differs between systems and loops
`endpoint`      that socket for dialling and listening: routing by connection id, version negotiation, Retry (`retry`)
                and stateless reset (`stateless_reset`), all without state for strangers
`engine`        what is asked of a QUIC implementation without I/O; `aioquic.engine` and `qh3.engine` are two, and
                everything that must touch an implementation's internals is inside its own file
`session`       an engine's streams with the doors a muxer has (`mesh.protocols.yamux.Session` is the other one)
`driver`        one connection on the loop: datagrams in and out, one timer; the counterpart of
                `mesh.network.driver`, so that `Connection` and `Stream` know nothing of QUIC
==============  ===================================================================================================

Both peers show libp2p's certificate (`mesh.identity.certificate`); its key is what the connection is known by.
"""
