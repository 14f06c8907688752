package main

import (
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/fx"
)

// node is the one listening host of the process with what its commands share.
type node struct {
	host       host.Host
	options    serveOptions
	identified *identifications
	held       *heldHosts
	pubsub     *pubsubSlot
}

// startNode starts the host; from then on events go to out.
func startNode(options serveOptions, out *lineQueue) (*node, error) {
	key, err := newIdentity(options.keyType)
	if err != nil {
		return nil, err
	}
	n := &node{options: options, identified: newIdentifications(), held: &heldHosts{}, pubsub: &pubsubSlot{out: out}}
	hostOptions := []libp2p.Option{
		libp2p.Identity(key),
		protocolStack(options),
		libp2p.ListenAddrStrings(options.listen...),
		// Invoked before the host starts, so that the very first identify
		// message already names all protocols and no event is missed.
		libp2p.WithFxOption(fx.Invoke(func(h host.Host) error { return n.prepare(h, out) })),
	}
	if options.unlimited {
		hostOptions = append(hostOptions, withoutLimits())
	}
	n.host, err = libp2p.New(hostOptions...)
	if err != nil {
		return nil, fmt.Errorf("start host: %w", err)
	}
	if err := n.checkListening(); err != nil {
		_ = n.host.Close()
		return nil, err
	}
	return n, nil
}

// prepare installs what has to be there before the first connection.
func (n *node) prepare(h host.Host, out *lineQueue) error {
	servePeers(h, out)
	return n.reportEvents(h, out)
}

// checkListening makes it an error if any address could not be listened on;
// go-libp2p is content with one.
func (n *node) checkListening() error {
	asked, got := len(n.options.listen), len(n.host.Network().ListenAddresses())
	if got < asked {
		return fmt.Errorf("listen: only %d of the %d addresses could be used", got, asked)
	}
	return nil
}

func withoutLimits() libp2p.Option {
	return libp2p.ChainOptions(
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.ConnectionManager(connmgr.NullConnMgr{}),
	)
}

// ready is the first line of output: who and where this node is.
func (n *node) ready() (fields, error) {
	bound, err := n.host.Network().InterfaceListenAddresses()
	if err != nil {
		return nil, fmt.Errorf("list listening addresses: %w", err)
	}
	bound = slices.DeleteFunc(bound, circuit.Equal)
	full, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: n.host.ID(), Addrs: bound})
	if err != nil {
		return nil, fmt.Errorf("name listening addresses: %w", err)
	}
	return fields{"event": "ready", "peer": n.host.ID().String(), "addrs": addrStrings(full)}, nil
}
