package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// pubsubNetworkCommands are those of every host, with its number as `node`,
// and those of the network.
var pubsubNetworkCommands = withEachHost(commands[*pubsubNetwork]{
	"link":         {bulkLimit, withArgs(linkArgs{Links: 10}, linkAll)},
	"publish_all":  {bulkLimit, withArgs(publishArgs{Size: messageSize}, publishFromAll)},
	"received_all": {dialLimit, withArgs(receivedArgs{}, receivedByAll)},
	"mesh_all":     {dialLimit, withArgs(neighboursArgs{}, meshOfAll)},
	"kill":         {shortLimit, withArgs(nodeArgs{}, killNode)},
	"restart":      {dialLimit, withArgs(restartArgs{}, restartNode)},
	"stats":        {shortLimit, withArgs(noArgs{}, func(context.Context, *pubsubNetwork, noArgs) (fields, error) { return processStats() })},
})

// hostCommands are what a host of a network can be told besides pubsub.
var hostCommands = commands[*pubsubHost]{
	"connect":    {dialLimit, withArgs(connectArgs{}, connectHost)},
	"disconnect": {shortLimit, withArgs(closeArgs{}, disconnectHost)},
}

func withEachHost(known commands[*pubsubNetwork]) commands[*pubsubNetwork] {
	all := maps.Clone(known)
	for _, table := range []commands[*pubsubHost]{pubsubCommands, hostCommands} {
		for name, one := range table {
			all[name] = command[*pubsubNetwork]{one.limit, func(ctx context.Context, n *pubsubNetwork, rawArgs []byte) (fields, error) {
				index, rest, err := takeNode(rawArgs)
				if err != nil {
					return nil, err
				}
				p, err := n.node(index)
				if err != nil {
					return nil, err
				}
				return one.run(ctx, p, rest)
			}}
		}
	}
	return all
}

// takeNode splits the number of a node from the arguments of its command.
func takeNode(rawArgs []byte) (index int, rest []byte, err error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(rawArgs, &object); err != nil {
		return 0, nil, fmt.Errorf("read arguments: %w", err)
	}
	given, exists := object["node"]
	if !exists {
		return 0, nil, errNodeMissing
	}
	if err := json.Unmarshal(given, &index); err != nil {
		return 0, nil, fmt.Errorf("read argument \"node\": %w", err)
	}
	delete(object, "node")
	rest, err = json.Marshal(object)
	return index, rest, err
}

func connectHost(ctx context.Context, p *pubsubHost, args connectArgs) (fields, error) {
	target, err := parseTarget(args.Addr)
	if err != nil {
		return nil, err
	}
	dialed := p.host.Network().Connectedness(target.ID) != network.Connected
	if err := dial(ctx, p.host, target); err != nil {
		return nil, err
	}
	return fields{"peer": target.ID.String(), "dialed": dialed}, nil
}

func disconnectHost(_ context.Context, p *pubsubHost, args closeArgs) (fields, error) {
	if args.Peer == "" {
		return nil, errPeerMissing
	}
	open := len(p.host.Network().ConnsToPeer(args.Peer))
	if err := p.host.Network().ClosePeer(args.Peer); err != nil {
		return nil, fmt.Errorf("close connections to %s: %w", args.Peer, err)
	}
	return fields{"closed": open}, nil
}

type linkArgs struct {
	Links int    `json:"links"`
	Seed  uint64 `json:"seed"`
}

func linkAll(ctx context.Context, n *pubsubNetwork, args linkArgs) (fields, error) {
	connections, err := n.link(ctx, args.Links, args.Seed)
	return fields{"connections": connections}, err
}

// publishFromAll lets the hosts that live publish in turn.
func publishFromAll(ctx context.Context, n *pubsubNetwork, args publishArgs) (fields, error) {
	if args.Data != nil || args.Count < 1 {
		return nil, errors.New("argument \"count\" must be positive, and \"data\" not given")
	}
	_, hosts := n.running()
	topics, err := topicsOf(hosts, args.Topic)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	sent, err := publishSeries(ctx, topics, args)
	return publishReport(sent, started), err
}

// ofAll asks every host that lives the same, one after the other.
func ofAll(n *pubsubNetwork, ask func(*pubsubHost) (fields, error)) (fields, error) {
	indexes, hosts := n.running()
	answers := []fields{}
	failures := []error{}
	for i, p := range hosts {
		one, err := ask(p)
		if err != nil {
			failures = append(failures, fmt.Errorf("node %d: %w", indexes[i], err))
		}
		if one != nil {
			one["node"], one["peer"] = indexes[i], p.host.ID().String()
			answers = append(answers, one)
		}
	}
	return fields{"nodes": answers}, errors.Join(failures...)
}

func receivedByAll(ctx context.Context, n *pubsubNetwork, args receivedArgs) (fields, error) {
	return ofAll(n, func(p *pubsubHost) (fields, error) { return reportReceived(ctx, p, args) })
}

func meshOfAll(ctx context.Context, n *pubsubNetwork, args neighboursArgs) (fields, error) {
	return ofAll(n, func(p *pubsubHost) (fields, error) { return listMesh(ctx, p, args) })
}

func killNode(_ context.Context, n *pubsubNetwork, args nodeArgs) (fields, error) {
	index, err := args.index()
	if err != nil {
		return nil, err
	}
	return nil, n.kill(index)
}

type restartArgs struct {
	nodeArgs
	Addrs []string `json:"addrs"`
}

// restartNode brings a killed host back with its key and its address.
func restartNode(ctx context.Context, n *pubsubNetwork, args restartArgs) (fields, error) {
	index, err := args.index()
	if err != nil {
		return nil, err
	}
	m, err := n.member(index)
	if err != nil {
		return nil, err
	}
	if _, err := n.node(index); err == nil {
		return nil, fmt.Errorf("node %d was not killed", index)
	}
	targets := []peer.AddrInfo{}
	for _, text := range args.Addrs {
		target, err := parseTarget(text)
		if err != nil {
			return nil, err
		}
		targets = append(targets, target)
	}
	if err := n.start(m); err != nil {
		return nil, err
	}
	p, err := n.node(index)
	if err != nil {
		return nil, err
	}
	for _, target := range targets {
		if err := dial(ctx, p.host, target); err != nil {
			return nil, err
		}
	}
	return describeHost(p.host)
}
