package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	joinWorkers  = 4
	tablePolling = 5 * time.Millisecond
)

type joinArgs struct {
	Links int    `json:"links"`
	Seed  uint64 `json:"seed"`
}

// join makes a network of the running nodes: each connects to a few that came
// before it, chosen by the seed, and then every node refreshes its table.
func join(ctx context.Context, k *kadNetwork, args joinArgs) (fields, error) {
	if args.Links < 1 {
		return nil, errors.New("argument \"links\" must be positive")
	}
	started := time.Now()
	nodes := k.running()
	choice := rand.New(rand.NewPCG(args.Seed, 0))
	for i, n := range nodes {
		for _, earlier := range choice.Perm(i)[:min(args.Links, i)] {
			if err := dial(ctx, n.host, *nodes[earlier].info()); err != nil {
				return nil, err
			}
		}
	}
	if err := awaitTables(ctx, nodes); err != nil {
		return nil, err
	}
	refreshed := repeat(ctx, len(nodes), joinWorkers, refreshInTurn(nodes))
	if refreshed.failed > 0 {
		return nil, fmt.Errorf("%d of %d tables could not be refreshed: %w", refreshed.failed, len(nodes), refreshed.firstError)
	}
	return withElapsed(fields{"nodes": len(nodes), "smallest_table": smallestTable(nodes)}, started), nil
}

// refreshInTurn is for `repeat`: each call takes the next node.
func refreshInTurn(nodes []*kadNode) func(context.Context, int) error {
	waiting := make(chan *kadNode, len(nodes))
	for _, n := range nodes {
		waiting <- n
	}
	return func(ctx context.Context, _ int) error { return (<-waiting).refresh(ctx) }
}

// refresh looks up the node itself and a key in each bucket.
func (n *kadNode) refresh(ctx context.Context) error {
	select {
	case err := <-n.dht.ForceRefresh():
		return err
	case <-ctx.Done():
		return fmt.Errorf("refresh table: %w", context.Cause(ctx))
	}
}

// awaitTables waits until every node has another one in its table: identify
// has run by then, and so has the check that the other one answers.
func awaitTables(ctx context.Context, nodes []*kadNode) error {
	for len(nodes) > 1 && smallestTable(nodes) == 0 {
		if ctx.Err() != nil {
			return fmt.Errorf("wait for a first entry in each table: %w", context.Cause(ctx))
		}
		pause(ctx, tablePolling)
	}
	return nil
}

func smallestTable(nodes []*kadNode) int {
	smallest := 0
	for i, n := range nodes {
		if size := n.dht.RoutingTable().Size(); i == 0 || size < smallest {
			smallest = size
		}
	}
	return smallest
}
