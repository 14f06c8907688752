package main

import (
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// parseTarget reads an address that ends in /p2p/<peer id>.
func parseTarget(text string) (peer.AddrInfo, error) {
	if text == "" {
		return peer.AddrInfo{}, errors.New("argument \"addr\" is missing")
	}
	target, err := peer.AddrInfoFromString(text)
	if err != nil {
		return peer.AddrInfo{}, fmt.Errorf("read address %q: %w", text, err)
	}
	if len(target.Addrs) == 0 {
		return peer.AddrInfo{}, fmt.Errorf("read address %q: it names a peer but no place to dial", text)
	}
	return *target, nil
}

func addrStrings(addrs []multiaddr.Multiaddr) []string {
	texts := make([]string, 0, len(addrs))
	for _, addr := range addrs {
		texts = append(texts, addr.String())
	}
	return texts
}
