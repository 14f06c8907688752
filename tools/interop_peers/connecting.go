package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

// dial connects to exactly the address given. Addresses that identify taught
// us earlier and the memory of failed dials would both get in the way.
func dial(ctx context.Context, h host.Host, target peer.AddrInfo) error {
	if h.Network().Connectedness(target.ID) != network.Connected {
		h.Peerstore().ClearAddrs(target.ID)
		// Connect stores the address for a short time only. The notification
		// that an earlier connection has ended may come just then and drops
		// all such addresses, so it is stored for longer before.
		h.Peerstore().AddAddrs(target.ID, target.Addrs, peerstore.RecentlyConnectedAddrTTL)
		if s, ok := h.Network().(*swarm.Swarm); ok {
			s.Backoff().Clear(target.ID)
		}
	}
	if err := h.Connect(ctx, target); err != nil {
		return fmt.Errorf("connect to %s: %w", target.ID, err)
	}
	return nil
}

type connectArgs struct {
	Addr string `json:"addr"`
}

func connect(ctx context.Context, n *node, args connectArgs) (fields, error) {
	target, err := parseTarget(args.Addr)
	if err != nil {
		return nil, err
	}
	alreadyConnected := n.host.Network().Connectedness(target.ID) == network.Connected
	ctx = network.WithAllowLimitedConn(ctx, "the command says so")
	if err := dial(ctx, n.host, target); err != nil {
		return nil, err
	}
	conns := n.host.Network().ConnsToPeer(target.ID)
	if len(conns) == 0 {
		return nil, errors.New("connection was closed as soon as it was made")
	}
	state := conns[0].ConnState()
	return fields{
		"peer":        target.ID.String(),
		"dialed":      !alreadyConnected,
		"transport":   state.Transport,
		"limited":     conns[0].Stat().Limited,
		"security":    string(state.Security),
		"muxer":       string(state.StreamMultiplexer),
		"early_muxer": state.UsedEarlyMuxerNegotiation,
	}, nil
}

type closeArgs struct {
	Peer peer.ID `json:"peer"`
}

func closePeer(_ context.Context, n *node, args closeArgs) (fields, error) {
	if args.Peer == "" {
		return nil, errPeerMissing
	}
	open := len(n.host.Network().ConnsToPeer(args.Peer))
	if err := n.host.Network().ClosePeer(args.Peer); err != nil {
		return nil, fmt.Errorf("close connections to %s: %w", args.Peer, err)
	}
	return fields{"closed": open}, nil
}

func listPeers(_ context.Context, n *node, _ noArgs) (fields, error) {
	connections := []fields{}
	for _, c := range n.host.Network().Conns() {
		connections = append(connections, fields{
			"peer":      c.RemotePeer().String(),
			"addr":      c.RemoteMultiaddr().String(),
			"direction": directionName(c),
			"streams":   len(c.GetStreams()),
		})
	}
	peers := n.host.Network().Peers()
	slices.SortFunc(peers, func(a, b peer.ID) int { return cmp.Compare(a.String(), b.String()) })
	names := []string{}
	for _, p := range peers {
		names = append(names, p.String())
	}
	return fields{"peers": names, "connections": connections}, nil
}
