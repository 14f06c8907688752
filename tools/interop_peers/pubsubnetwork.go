package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/fx"
)

// pubsubMember is a place in a network: a key and an address that stay, and
// the host that lives there unless it was killed.
type pubsubMember struct {
	key      crypto.PrivKey
	listen   string
	settings pubsubSettings
	running  *pubsubHost
}

// startPubsubHost starts a host without limits that speaks TCP, Noise and
// yamux. Pubsub is there before it listens: nobody meets it half started.
func startPubsubHost(key crypto.PrivKey, listen string, settings pubsubSettings, out *lineQueue) (*pubsubHost, error) {
	var p *pubsubHost
	h, err := libp2p.New(
		libp2p.Identity(key),
		protocolStack(serveOptions{transports: []string{"tcp"}, security: "noise"}),
		libp2p.ListenAddrStrings(listen),
		withoutLimits(),
		libp2p.WithFxOption(fx.Invoke(func(h host.Host) (err error) {
			p, err = startPubsub(h, settings, out)
			return err
		})),
	)
	if err != nil {
		return nil, fmt.Errorf("start host: %w", err)
	}
	p.host = h
	return p, nil
}

func infoOf(h host.Host) *peer.AddrInfo {
	return &peer.AddrInfo{ID: h.ID(), Addrs: h.Network().ListenAddresses()}
}

// describeHost says who and where a host is, in the words of a `ready` event.
func describeHost(h host.Host) (fields, error) {
	full, err := peer.AddrInfoToP2pAddrs(infoOf(h))
	if err != nil {
		return nil, fmt.Errorf("name listening addresses: %w", err)
	}
	return fields{"peer": h.ID().String(), "addrs": addrStrings(full)}, nil
}

func (p *pubsubHost) Close() error {
	p.stop()
	return p.host.Close()
}

// pubsubNetwork is a number of hosts with pubsub in this process.
type pubsubNetwork struct {
	options pubsubNetworkOptions
	out     *lineQueue
	mutex   sync.Mutex
	members []*pubsubMember
}

// startPubsubNetwork starts the hosts, not yet connected to each other.
func startPubsubNetwork(options pubsubNetworkOptions, out *lineQueue) (*pubsubNetwork, error) {
	n := &pubsubNetwork{options: options, out: out}
	for i := range options.nodes {
		key, err := newIdentity("ed25519")
		if err != nil {
			return nil, errors.Join(err, n.Close())
		}
		settings := options.settings
		settings.Version = options.versions[i%len(options.versions)]
		m := &pubsubMember{key: key, listen: "/ip4/127.0.0.1/tcp/0", settings: settings}
		n.members = append(n.members, m)
		if err := n.start(m); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

// start makes a member's host, where it was before if it ran already, and
// subscribes it.
func (n *pubsubNetwork) start(m *pubsubMember) error {
	p, err := startPubsubHost(m.key, m.listen, m.settings, n.out)
	if err != nil {
		return err
	}
	for _, topic := range n.options.topics {
		if _, err := subscribeTopic(context.Background(), p, subscribeArgs{Topic: topic, Keep: n.options.keep}); err != nil {
			return errors.Join(err, p.Close())
		}
	}
	n.mutex.Lock()
	defer n.mutex.Unlock()
	m.running = p
	m.listen = p.host.Network().ListenAddresses()[0].String()
	return nil
}

func (n *pubsubNetwork) member(index int) (*pubsubMember, error) {
	if index < 0 || index >= len(n.members) {
		return nil, fmt.Errorf("there is no node %d among %d", index, len(n.members))
	}
	return n.members[index], nil
}

func (n *pubsubNetwork) node(index int) (*pubsubHost, error) {
	m, err := n.member(index)
	if err != nil {
		return nil, err
	}
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if m.running == nil {
		return nil, fmt.Errorf("node %d was killed", index)
	}
	return m.running, nil
}

// kill ends a host without a word; its place remains.
func (n *pubsubNetwork) kill(index int) error {
	p, err := n.node(index)
	if err != nil {
		return err
	}
	n.mutex.Lock()
	n.members[index].running = nil
	n.mutex.Unlock()
	return p.Close()
}

// running are the hosts that live, by number.
func (n *pubsubNetwork) running() (indexes []int, hosts []*pubsubHost) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	for i, m := range n.members {
		if m.running != nil {
			indexes, hosts = append(indexes, i), append(hosts, m.running)
		}
	}
	return indexes, hosts
}

// link connects the hosts to each other at random, until each has at least so
// many connections within the network.
func (n *pubsubNetwork) link(ctx context.Context, links int, seed uint64) (connections int, err error) {
	_, hosts := n.running()
	choice := rand.New(rand.NewPCG(seed, 0))
	degrees := make([]int, len(hosts))
	for i, p := range hosts {
		for _, other := range choice.Perm(len(hosts)) {
			q := hosts[other]
			if degrees[i] >= links {
				break
			}
			if other == i || p.host.Network().Connectedness(q.host.ID()) == network.Connected {
				continue
			}
			if err := dial(ctx, p.host, *infoOf(q.host)); err != nil {
				return connections, err
			}
			degrees[i]++
			degrees[other]++
			connections++
		}
	}
	return connections, nil
}

// topicsOf are the handles of a topic at all hosts.
func topicsOf(hosts []*pubsubHost, name string) ([]*pubsub.Topic, error) {
	topics := make([]*pubsub.Topic, 0, len(hosts))
	for _, p := range hosts {
		joined, err := p.join(name)
		if err != nil {
			return nil, err
		}
		topics = append(topics, joined.topic)
	}
	return topics, nil
}

// Close closes all hosts at once.
func (n *pubsubNetwork) Close() error {
	_, hosts := n.running()
	failures := make([]error, len(hosts))
	var closing sync.WaitGroup
	for i, p := range hosts {
		closing.Go(func() { failures[i] = p.Close() })
	}
	closing.Wait()
	return errors.Join(failures...)
}
