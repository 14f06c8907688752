package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// identifications remembers of each peer whether its latest identify message
// carried a signed record. The peerstore cannot tell: go-libp2p takes the
// addresses out of a record and does not keep the record.
type identifications struct {
	mutex   sync.Mutex
	signed  map[peer.ID]bool
	changed chan struct{} // closed and replaced at each change
}

func newIdentifications() *identifications {
	return &identifications{signed: make(map[peer.ID]bool), changed: make(chan struct{})}
}

func (i *identifications) remember(e event.EvtPeerIdentificationCompleted) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	i.signed[e.Peer] = e.SignedPeerRecord != nil
	close(i.changed)
	i.changed = make(chan struct{})
}

func (i *identifications) lookup(p peer.ID) (signed, known bool, changed <-chan struct{}) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	signed, known = i.signed[p]
	return signed, known, i.changed
}

// await waits until p has been identified and tells about its record.
func (i *identifications) await(ctx context.Context, p peer.ID) (signed bool, err error) {
	for {
		signed, known, changed := i.lookup(p)
		if known {
			return signed, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false, fmt.Errorf("peer %s has not been identified: %w", p, context.Cause(ctx))
		}
	}
}

type identifyArgs struct {
	Peer peer.ID `json:"peer"`
}

// identify tells what is known of a peer. Identify may still be under way on
// a connection that has just been made, so it waits for a connected peer.
func identify(ctx context.Context, n *node, args identifyArgs) (fields, error) {
	if args.Peer == "" {
		return nil, errPeerMissing
	}
	signed, known, _ := n.identified.lookup(args.Peer)
	if !known {
		if n.host.Network().Connectedness(args.Peer) != network.Connected {
			return nil, fmt.Errorf("peer %s is neither connected nor has it been identified", args.Peer)
		}
		var err error
		if signed, err = n.identified.await(ctx, args.Peer); err != nil {
			return nil, err
		}
	}
	store := n.host.Peerstore()
	protocols, err := store.GetProtocols(args.Peer)
	if err != nil {
		return nil, fmt.Errorf("look up protocols: %w", err)
	}
	slices.Sort(protocols)
	key := store.PubKey(args.Peer)
	if key == nil {
		return nil, errors.New("look up public key: none is stored")
	}
	return fields{
		"peer":             args.Peer.String(),
		"protocols":        protocol.ConvertToStrings(protocols),
		"agent":            n.stored(args.Peer, "AgentVersion"),
		"protocol_version": n.stored(args.Peer, "ProtocolVersion"),
		"addrs":            addrStrings(store.Addrs(args.Peer)),
		"key_type":         key.Type().String(),
		"signed_record":    signed,
	}, nil
}

// stored reads one metadata value of a peer, null where there is none.
func (n *node) stored(p peer.ID, name string) any {
	value, err := n.host.Peerstore().Get(p, name)
	if err != nil {
		return nil
	}
	return value
}
