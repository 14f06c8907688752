package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"
)

type putArgs struct {
	kadKeyArgs
	Value hexBytes `json:"value_hex"`
}

func putValue(ctx context.Context, n *kadNode, args putArgs) (fields, error) {
	if len(args.Key) == 0 {
		return nil, errKeyMissing
	}
	if err := n.dht.PutValue(ctx, string(args.Key), args.Value); err != nil {
		return nil, fmt.Errorf("put value: %w", err)
	}
	return nil, nil
}

type getArgs struct {
	kadKeyArgs
	Quorum int `json:"quorum"`
}

func getValue(ctx context.Context, n *kadNode, args getArgs) (fields, error) {
	if len(args.Key) == 0 {
		return nil, errKeyMissing
	}
	if args.Quorum < 0 {
		return nil, errors.New("argument \"quorum\" must not be negative")
	}
	value, err := n.dht.GetValue(ctx, string(args.Key), dht.Quorum(args.Quorum))
	if err != nil {
		return nil, fmt.Errorf("get value: %w", err)
	}
	return fields{"value_hex": hexBytes(value)}, nil
}

func storedValue(ctx context.Context, n *kadNode, args kadKeyArgs) (fields, error) {
	if len(args.Key) == 0 {
		return nil, errKeyMissing
	}
	value, found, err := n.stored(ctx, string(args.Key))
	if err != nil || !found {
		return fields{"value_hex": nil}, err
	}
	return fields{"value_hex": hexBytes(value)}, nil
}

type cidArgs struct {
	nodeArgs
	CID string `json:"cid"`
}

func (a cidArgs) parse() (cid.Cid, error) {
	if a.CID == "" {
		return cid.Undef, errors.New("argument \"cid\" is missing")
	}
	content, err := cid.Decode(a.CID)
	if err != nil {
		return cid.Undef, fmt.Errorf("read argument \"cid\": %w", err)
	}
	return content, nil
}

func provide(ctx context.Context, n *kadNode, args cidArgs) (fields, error) {
	content, err := args.parse()
	if err != nil {
		return nil, err
	}
	if err := n.dht.Provide(ctx, content, true); err != nil {
		return nil, fmt.Errorf("provide: %w", err)
	}
	return nil, nil
}

type findProvidersArgs struct {
	cidArgs
	Count int `json:"count"`
}

func findProviders(ctx context.Context, n *kadNode, args findProvidersArgs) (fields, error) {
	content, err := args.parse()
	if err != nil {
		return nil, err
	}
	if args.Count < 0 {
		return nil, errors.New("argument \"count\" must not be negative")
	}
	var found []peer.AddrInfo
	for one := range n.dht.FindProvidersAsync(ctx, content, args.Count) {
		found = append(found, one)
	}
	return fields{"providers": describePeers(found)}, context.Cause(ctx)
}

// storedProviders are the ones this node itself was told of.
func storedProviders(ctx context.Context, n *kadNode, args cidArgs) (fields, error) {
	content, err := args.parse()
	if err != nil {
		return nil, err
	}
	found, err := n.dht.ProviderStore().GetProviders(ctx, content.Hash())
	if err != nil {
		return nil, fmt.Errorf("read provider store: %w", err)
	}
	return fields{"providers": describePeers(found)}, nil
}

func describePeers(found []peer.AddrInfo) []fields {
	described := []fields{}
	for _, one := range found {
		described = append(described, describePeer(one))
	}
	return described
}
