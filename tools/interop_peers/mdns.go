package main

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// mdnsReporter tells of every peer that mDNS found; nobody is dialled for it.
type mdnsReporter struct{ out *lineQueue }

func (r mdnsReporter) HandlePeerFound(found peer.AddrInfo) {
	r.out.send(fields{"event": "mdns_found", "peer": found.ID.String(), "addrs": addrStrings(found.Addrs)})
}

// startMdns looks for peers on the links of this machine under a service name.
func startMdns(h host.Host, service string, out *lineQueue) error {
	if err := mdns.NewMdnsService(h, service, mdnsReporter{out}).Start(); err != nil {
		return fmt.Errorf("start mdns: %w", err)
	}
	return nil
}
