"""STUN without sockets: messages, one transaction with its retransmissions, and the test of a NAT's behaviour."""
