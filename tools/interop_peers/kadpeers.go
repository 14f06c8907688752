package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const identifyPatience = 500 * time.Millisecond

type kadConnectArgs struct {
	nodeArgs
	Addr string `json:"addr"`
}

func kadConnect(ctx context.Context, n *kadNode, args kadConnectArgs) (fields, error) {
	target, err := parseTarget(args.Addr)
	if err != nil {
		return nil, err
	}
	dialed := !n.connectedTo(target.ID)
	if err := dial(ctx, n.host, target); err != nil {
		return nil, err
	}
	return fields{"peer": target.ID.String(), "dialed": dialed}, nil
}

type kadPeerArgs struct {
	nodeArgs
	Peer peer.ID `json:"peer"`
}

// kadDisconnect also forgets where the peer is, so that finding it again
// takes a lookup.
func kadDisconnect(_ context.Context, n *kadNode, args kadPeerArgs) (fields, error) {
	if args.Peer == "" {
		return nil, errPeerMissing
	}
	open := len(n.host.Network().ConnsToPeer(args.Peer))
	if err := n.host.Network().ClosePeer(args.Peer); err != nil {
		return nil, fmt.Errorf("close connections to %s: %w", args.Peer, err)
	}
	n.dht.RoutingTable().RemovePeer(args.Peer)
	n.host.Peerstore().ClearAddrs(args.Peer)
	return fields{"closed": open}, nil
}

func kadRefresh(ctx context.Context, n *kadNode, _ nodeArgs) (fields, error) {
	if err := n.refresh(ctx); err != nil {
		return nil, err
	}
	return fields{"size": n.dht.RoutingTable().Size()}, nil
}

func findPeer(ctx context.Context, n *kadNode, args kadPeerArgs) (fields, error) {
	if args.Peer == "" {
		return nil, errPeerMissing
	}
	found, err := n.dht.FindPeer(ctx, args.Peer)
	if err != nil {
		return nil, fmt.Errorf("find peer %s: %w", args.Peer, err)
	}
	return describePeer(n.identified(ctx, found)), nil
}

// identified adds the addresses of a peer that connected to this node a
// moment ago: it is found at once, but without them until identify has run.
func (n *kadNode) identified(ctx context.Context, found peer.AddrInfo) peer.AddrInfo {
	ctx, cancel := context.WithTimeout(ctx, identifyPatience)
	defer cancel()
	for len(found.Addrs) == 0 && n.connectedTo(found.ID) && ctx.Err() == nil {
		pause(ctx, tablePolling)
		found = n.host.Peerstore().PeerInfo(found.ID)
	}
	return found
}

func describePeer(found peer.AddrInfo) fields {
	return fields{"peer": found.ID.String(), "addrs": addrStrings(found.Addrs)}
}

var errKeyMissing = errors.New("argument \"key_hex\" is missing")

type kadKeyArgs struct {
	nodeArgs
	Key hexBytes `json:"key_hex"`
}

func closestPeers(ctx context.Context, n *kadNode, args kadKeyArgs) (fields, error) {
	if len(args.Key) == 0 {
		return nil, errKeyMissing
	}
	closest, err := n.dht.GetClosestPeers(ctx, string(args.Key))
	if err != nil {
		return nil, fmt.Errorf("look up closest peers: %w", err)
	}
	return fields{"peers": peerStrings(closest)}, nil
}

func listTable(_ context.Context, n *kadNode, _ nodeArgs) (fields, error) {
	return fields{"peers": peerStrings(n.dht.RoutingTable().ListPeers())}, nil
}

func peerStrings(peers []peer.ID) []string {
	texts := make([]string, 0, len(peers))
	for _, p := range peers {
		texts = append(texts, p.String())
	}
	return texts
}

// kadStats counts what is open at one node; the rest is that of the process.
func kadStats(_ context.Context, n *kadNode, _ nodeArgs) (fields, error) {
	report, err := processStats()
	if err != nil {
		return nil, err
	}
	report["connections"], report["streams"] = countOpen(n.host)
	report["table"] = n.dht.RoutingTable().Size()
	return report, nil
}
