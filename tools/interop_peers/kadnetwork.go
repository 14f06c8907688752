package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// kadNetwork is a number of Kademlia nodes in this process. A node that was
// closed leaves its number unused.
type kadNetwork struct {
	options kadOptions
	mutex   sync.Mutex
	nodes   []*kadNode
}

// startKadNetwork starts the nodes, not yet connected to each other. They
// live on until the network is closed, whatever becomes of ctx.
func startKadNetwork(ctx context.Context, options kadOptions) (*kadNetwork, error) {
	network := &kadNetwork{options: options}
	for i := range options.nodes {
		n, err := startKadNode(context.WithoutCancel(ctx), options.ips[i%len(options.ips)], options.prefix)
		if err != nil {
			_ = network.Close()
			return nil, err
		}
		network.nodes = append(network.nodes, n)
	}
	return network, nil
}

// ready is the first line of output: who and where the nodes are.
func (k *kadNetwork) ready() (fields, error) {
	var described []fields
	for _, n := range k.running() {
		one, err := n.describe()
		if err != nil {
			return nil, err
		}
		described = append(described, one)
	}
	return fields{"event": "ready", "prefix": k.options.prefix, "nodes": described}, nil
}

// node is the one of a number, unless it was closed.
func (k *kadNetwork) node(index int) (*kadNode, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if index < 0 || index >= len(k.nodes) {
		return nil, fmt.Errorf("there is no node %d among %d", index, len(k.nodes))
	}
	if k.nodes[index] == nil {
		return nil, fmt.Errorf("node %d is closed", index)
	}
	return k.nodes[index], nil
}

// running are the nodes that were not closed, in order.
func (k *kadNetwork) running() []*kadNode {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	var open []*kadNode
	for _, n := range k.nodes {
		if n != nil {
			open = append(open, n)
		}
	}
	return open
}

// take removes a node so that nobody else uses or closes it.
func (k *kadNetwork) take(index int) (*kadNode, error) {
	n, err := k.node(index)
	if err != nil {
		return nil, err
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.nodes[index] == nil {
		return nil, fmt.Errorf("node %d is closed", index)
	}
	k.nodes[index] = nil
	return n, nil
}

// Close closes all nodes at once.
func (k *kadNetwork) Close() error {
	open := k.running()
	failures := make([]error, len(open))
	var closing sync.WaitGroup
	for i, n := range open {
		closing.Go(func() { failures[i] = n.Close() })
	}
	closing.Wait()
	return errors.Join(failures...)
}
