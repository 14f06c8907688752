package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	meshPolling = 5 * time.Millisecond
	messageSize = 200
)

// pubsubCommands are what a host with pubsub can be told to do, whether it is
// the only one of its process or one of a network.
var pubsubCommands = withParts(commands[*pubsubHost]{
	"pubsub_join":        {shortLimit, withArgs(topicArgs{}, joinTopic)},
	"pubsub_subscribe":   {shortLimit, withArgs(subscribeArgs{Keep: true}, subscribeTopic)},
	"pubsub_unsubscribe": {shortLimit, withArgs(topicArgs{}, unsubscribeTopic)},
	"pubsub_publish":     {bulkLimit, withArgs(publishArgs{Size: messageSize}, publish)},
	"pubsub_received":    {dialLimit, withArgs(receivedArgs{}, reportReceived)},
	"pubsub_peers":       {dialLimit, withArgs(neighboursArgs{}, listTopicPeers)},
	"pubsub_mesh":        {dialLimit, withArgs(neighboursArgs{}, listMesh)},
	"pubsub_scores":      {shortLimit, withArgs(noArgs{}, reportScores)},
	"pubsub_grant":       {shortLimit, withArgs(grantArgs{}, grantScore)},
	"pubsub_counters":    {shortLimit, withArgs(noArgs{}, reportCounters)},
})

// withParts adds the commands of extensions, where the library has any.
func withParts(known commands[*pubsubHost]) commands[*pubsubHost] {
	maps.Copy(known, partCommands)
	return known
}

// withPubsub adds the commands of pubsub to those of a node.
func withPubsub(known commands[*node]) commands[*node] {
	all := maps.Clone(known)
	all["pubsub_start"] = command[*node]{shortLimit, withArgs(defaultPubsubSettings(), startNodePubsub)}
	for name, one := range pubsubCommands {
		all[name] = command[*node]{one.limit, func(ctx context.Context, n *node, rawArgs []byte) (fields, error) {
			p, err := n.pubsub.get()
			if err != nil {
				return nil, err
			}
			return one.run(ctx, p, rawArgs)
		}}
	}
	return all
}

func startNodePubsub(_ context.Context, n *node, settings pubsubSettings) (fields, error) {
	if _, err := n.pubsub.start(n.host, settings); err != nil {
		return nil, err
	}
	return fields{"protocols": pubsubProtocols(n.host), "pubsub": versionOf(pubsubModule)}, nil
}

// pubsubProtocols are the ids of pubsub that a host serves, best first.
func pubsubProtocols(h host.Host) []string {
	served := map[string]bool{}
	for _, name := range h.Mux().Protocols() {
		served[string(name)] = true
	}
	names := []string{}
	for _, name := range pubsub.GossipSubDefaultProtocols {
		if served[string(name)] {
			names = append(names, string(name))
		}
	}
	return names
}

type topicArgs struct {
	Topic string `json:"topic"`
}

func joinTopic(_ context.Context, p *pubsubHost, args topicArgs) (fields, error) {
	_, err := p.join(args.Topic)
	return nil, err
}

type subscribeArgs struct {
	Topic     string `json:"topic"`
	Keep      bool   `json:"keep"`
	Events    bool   `json:"events"`
	RejectHex string `json:"reject_hex"`
	IgnoreHex string `json:"ignore_hex"`
}

// subscribeTopic starts recording anew.
func subscribeTopic(_ context.Context, p *pubsubHost, args subscribeArgs) (fields, error) {
	verdicts, err := parseVerdicts(args.RejectHex, args.IgnoreHex)
	if err != nil {
		return nil, err
	}
	joined, err := p.join(args.Topic)
	if err != nil {
		return nil, err
	}
	if args.RejectHex != "" || args.IgnoreHex != "" {
		_ = p.pubsub.UnregisterTopicValidator(args.Topic)
		if err := p.pubsub.RegisterTopicValidator(args.Topic, verdicts.validate); err != nil {
			return nil, fmt.Errorf("install validator: %w", err)
		}
	}
	received := newReceivedMessages(args.Keep)
	return nil, p.subscribe(joined, received, func(message *pubsub.Message) {
		one := received.record(p.host.ID(), message)
		if one != nil && args.Events {
			event := one.describe("data")
			event["event"], event["topic"], event["peer"] = "message", args.Topic, p.host.ID().String()
			p.out.send(event)
		}
	})
}

func unsubscribeTopic(_ context.Context, p *pubsubHost, args topicArgs) (fields, error) {
	joined, err := p.joined(args.Topic)
	if err != nil {
		return nil, err
	}
	return nil, p.unsubscribe(joined)
}

type receivedArgs struct {
	Topic   string `json:"topic"`
	List    string `json:"list"`
	AtLeast int    `json:"at_least"`
}

func reportReceived(ctx context.Context, p *pubsubHost, args receivedArgs) (fields, error) {
	if args.List != "" && args.List != "data" && args.List != "sha256" {
		return nil, errors.New("argument \"list\" must be \"data\" or \"sha256\"")
	}
	received, err := p.received(args.Topic)
	if err != nil {
		return nil, err
	}
	err = awaitAtLeast(ctx, args.AtLeast, received.distinct)
	return received.report(args.List), err
}

// awaitAtLeast waits until there are so many of something.
func awaitAtLeast(ctx context.Context, wanted int, count func() int) error {
	for count() < wanted {
		if ctx.Err() != nil {
			return fmt.Errorf("%d of %d: %w", count(), wanted, context.Cause(ctx))
		}
		pause(ctx, meshPolling)
	}
	return nil
}

type neighboursArgs struct {
	Topic   string `json:"topic"`
	AtLeast int    `json:"at_least"`
}

func listTopicPeers(ctx context.Context, p *pubsubHost, args neighboursArgs) (fields, error) {
	list := func() []peer.ID { return p.pubsub.ListPeers(args.Topic) }
	err := awaitAtLeast(ctx, args.AtLeast, func() int { return len(list()) })
	return fields{"peers": p.tracer.describe(list())}, err
}

func listMesh(ctx context.Context, p *pubsubHost, args neighboursArgs) (fields, error) {
	list := func() []peer.ID { return p.tracer.mesh(args.Topic) }
	err := awaitAtLeast(ctx, args.AtLeast, func() int { return len(list()) })
	return fields{"mesh": p.tracer.describe(list())}, err
}

func reportScores(_ context.Context, p *pubsubHost, _ noArgs) (fields, error) {
	return p.scores.report()
}

type grantArgs struct {
	Peer  peer.ID `json:"peer"`
	Score float64 `json:"score"`
}

func grantScore(_ context.Context, p *pubsubHost, args grantArgs) (fields, error) {
	if args.Peer == "" {
		return nil, errPeerMissing
	}
	return nil, p.scores.grant(args.Peer, args.Score)
}

func reportCounters(_ context.Context, p *pubsubHost, _ noArgs) (fields, error) {
	return p.tracer.counters(), nil
}
