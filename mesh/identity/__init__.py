"""Who a node is: keys, peer ids, signed envelopes and peer records."""
