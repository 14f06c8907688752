package main

import (
	"context"
	"errors"
	"time"
)

var kadCommands = commands[*kadNetwork]{
	"join":             {bulkLimit, withArgs(joinArgs{Links: 3}, join)},
	"connect":          {dialLimit, onNode(kadConnectArgs{}, kadConnect)},
	"disconnect":       {shortLimit, onNode(kadPeerArgs{}, kadDisconnect)},
	"refresh":          {lookupLimit, onNode(nodeArgs{}, kadRefresh)},
	"find-peer":        {lookupLimit, onNode(kadPeerArgs{}, findPeer)},
	"closest-peers":    {lookupLimit, onNode(kadKeyArgs{}, closestPeers)},
	"put":              {lookupLimit, onNode(putArgs{}, putValue)},
	"get":              {lookupLimit, onNode(getArgs{}, getValue)},
	"provide":          {lookupLimit, onNode(cidArgs{}, provide)},
	"find-providers":   {lookupLimit, onNode(findProvidersArgs{Count: 20}, findProviders)},
	"stored":           {shortLimit, onNode(kadKeyArgs{}, storedValue)},
	"stored-providers": {shortLimit, onNode(cidArgs{}, storedProviders)},
	"table":            {shortLimit, onNode(nodeArgs{}, listTable)},
	"stats":            {shortLimit, onNode(nodeArgs{}, kadStats)},
	"close":            {shortLimit, withArgs(nodeArgs{}, closeKadNode)},
}

const lookupLimit = 60 * time.Second

var errNodeMissing = errors.New("argument \"node\" is missing")

// nodeArgs say which node a command is for; every command but `join` has them.
type nodeArgs struct {
	Node *int `json:"node"`
}

func (a nodeArgs) index() (int, error) {
	if a.Node == nil {
		return 0, errNodeMissing
	}
	return *a.Node, nil
}

// onNode makes a command of what one node does, and measures how long.
func onNode[A interface{ index() (int, error) }](defaults A, run func(context.Context, *kadNode, A) (fields, error)) func(context.Context, *kadNetwork, []byte) (fields, error) {
	return withArgs(defaults, func(ctx context.Context, k *kadNetwork, args A) (fields, error) {
		index, err := args.index()
		if err != nil {
			return nil, err
		}
		n, err := k.node(index)
		if err != nil {
			return nil, err
		}
		started := time.Now()
		result, err := run(ctx, n, args)
		return withElapsed(result, started), err
	})
}

// withElapsed adds how long it took, whatever came of it.
func withElapsed(result fields, started time.Time) fields {
	if result == nil {
		result = fields{}
	}
	result["elapsed_ms"] = milliseconds(time.Since(started))
	return result
}

func milliseconds(length time.Duration) float64 {
	return float64(length.Microseconds()) / 1000
}

// closeKadNode is what a node that dies does to the others: its connections end.
func closeKadNode(_ context.Context, k *kadNetwork, args nodeArgs) (fields, error) {
	index, err := args.index()
	if err != nil {
		return nil, err
	}
	n, err := k.take(index)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	err = n.Close()
	return withElapsed(nil, started), err
}
