package main

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"

	"github.com/ipfs/go-datastore"
	datastoresync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	recordpb "github.com/libp2p/go-libp2p-record/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"
)

// kadNode is one host of a Kademlia network with its DHT.
type kadNode struct {
	host   host.Host
	dht    *dht.IpfsDHT
	values datastore.Batching
}

// startKadNode starts a DHT server with go-libp2p-kad-dht's own settings:
// they filter neither loopback addresses nor peers of one network group.
func startKadNode(ctx context.Context, ip, prefix string) (*kadNode, error) {
	key, err := newIdentity("ed25519")
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(
		libp2p.Identity(key),
		protocolStack(serveOptions{transports: []string{"tcp"}, security: "noise"}),
		libp2p.ListenAddrStrings("/ip4/"+ip+"/tcp/0"),
		withoutLimits(),
	)
	if err != nil {
		return nil, fmt.Errorf("start host: %w", err)
	}
	n := &kadNode{host: h, values: datastoresync.MutexWrap(datastore.NewMapDatastore())}
	options := []dht.Option{
		dht.Mode(dht.ModeServer),
		dht.ProtocolPrefix(protocol.ID(prefix)),
		dht.Datastore(n.values),
		dht.BootstrapPeers(),
	}
	if protocol.ID(prefix) != dht.DefaultPrefix {
		options = append(options, dht.NamespacedValidator(openNamespace, greatestValue{}))
	}
	n.dht, err = dht.New(ctx, h, options...)
	if err != nil {
		_ = h.Close()
		return nil, fmt.Errorf("start DHT: %w", err)
	}
	return n, nil
}

func (n *kadNode) Close() error {
	return errors.Join(n.dht.Close(), n.host.Close())
}

// describe says who and where this node is, in the words of a `ready` event.
func (n *kadNode) describe() (fields, error) {
	full, err := peer.AddrInfoToP2pAddrs(n.info())
	if err != nil {
		return nil, fmt.Errorf("name listening addresses: %w", err)
	}
	return fields{"peer": n.host.ID().String(), "addrs": addrStrings(full)}, nil
}

func (n *kadNode) info() *peer.AddrInfo {
	return &peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Network().ListenAddresses()}
}

func (n *kadNode) connectedTo(p peer.ID) bool {
	return n.host.Network().Connectedness(p) == network.Connected
}

// stored is the value this node keeps under a key itself. The DHT has no
// question for that, so it is read where the DHT puts it.
func (n *kadNode) stored(ctx context.Context, key string) (value []byte, found bool, err error) {
	place := datastore.NewKey(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(key)))
	raw, err := n.values.Get(ctx, place)
	if errors.Is(err, datastore.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read datastore: %w", err)
	}
	var kept recordpb.Record
	if err := proto.Unmarshal(raw, &kept); err != nil {
		return nil, false, fmt.Errorf("read record: %w", err)
	}
	return kept.GetValue(), true, nil
}
