package main

import (
	"fmt"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
)

// newDialer makes a host that only dials, with an Ed25519 identity of its
// own and without limits: two hosts share at most one connection, so load
// needs as many hosts as connections.
func newDialer(options serveOptions) (host.Host, error) {
	key, err := newIdentity("ed25519")
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(
		libp2p.Identity(key),
		protocolStack(options),
		libp2p.NoListenAddrs,
		withoutLimits(),
	)
	if err != nil {
		return nil, fmt.Errorf("start dialing host: %w", err)
	}
	return h, nil
}
