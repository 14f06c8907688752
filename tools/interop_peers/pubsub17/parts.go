package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p-pubsub/partialmessages"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
)

// partSize is that of a part; a message has up to 8 of them. Metadata is one
// byte, a bit for each part that its sender has; parts travel behind such a
// byte, in order.
const partSize = 4

var errPartsMissing = errors.New("pubsub was not started with \"parts\"")

var partCommands = commands[*pubsubHost]{
	"pubsub_parts_join": {shortLimit, withArgs(partsJoinArgs{}, joinParts)},
	"pubsub_parts_put":  {shortLimit, withArgs(partsPutArgs{}, putParts)},
	"pubsub_parts_get":  {dialLimit, withArgs(partsGetArgs{}, getParts)},
	"pubsub_tested":     {dialLimit, withArgs(testedArgs{}, listTested)},
}

// peerParts is what is known of a peer at a message: the parts it has, and
// those it was told of.
type peerParts struct {
	has  byte
	told byte
}

type heldParts struct {
	has   byte
	parts [8][]byte
}

// partialHost is a host's part in messages that travel in parts.
type partialHost struct {
	extension *partialmessages.PartialMessagesExtension[peerParts]
	mutex     sync.Mutex
	held      map[string]*heldParts
	tested    map[peer.ID]int
}

func (s *pubsubSettings) extensionOptions(p *pubsubHost) ([]pubsub.Option, error) {
	partial := &p.partial
	partial.held, partial.tested = map[string]*heldParts{}, map[peer.ID]int{}
	options := []pubsub.Option{}
	if s.TestExtension {
		options = append(options, pubsub.WithTestExtension(pubsub.TestExtensionConfig{OnReceiveTestExtension: partial.noteTested}))
	}
	if s.Parts {
		partial.extension = &partialmessages.PartialMessagesExtension[peerParts]{
			Logger: slog.Default(),
			OnEmitGossip: func(topic string, group []byte, _ []peer.ID, _ map[peer.ID]peerParts) {
				go p.publishParts(topic, group)
			},
			OnIncomingRPC: func(from peer.ID, states map[peer.ID]peerParts, rpc *pb.PartialMessagesExtension) error {
				return p.takeParts(from, states, rpc)
			},
		}
		options = append(options, pubsub.WithPartialMessagesExtension(partial.extension))
	}
	return options, nil
}

func (h *partialHost) noteTested(from peer.ID) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.tested[from]++
}

func (h *partialHost) message(topic string, group []byte) *heldParts {
	key := topic + "\x00" + string(group)
	if h.held[key] == nil {
		h.held[key] = &heldParts{}
	}
	return h.held[key]
}

func (p *pubsubHost) takeParts(from peer.ID, states map[peer.ID]peerParts, rpc *pb.PartialMessagesExtension) error {
	h := &p.partial
	h.mutex.Lock()
	defer h.mutex.Unlock()
	own, state := h.message(rpc.GetTopicID(), rpc.GroupID), states[from]
	if metadata := rpc.PartsMetadata; len(metadata) == 1 {
		state.has |= metadata[0]
	}
	if body := rpc.PartialMessage; len(body) > 0 {
		rest := body[1:]
		for i := range 8 {
			if body[0]&(1<<i) == 0 {
				continue
			}
			if len(rest) < partSize {
				return errors.New("a part is missing")
			}
			own.parts[i], rest = rest[:partSize:partSize], rest[partSize:]
		}
		own.has |= body[0]
		state.has |= body[0]
	}
	states[from] = state
	go p.publishParts(rpc.GetTopicID(), rpc.GroupID)
	return nil
}

// publishParts sends everybody what they lack, and says what is here.
func (p *pubsubHost) publishParts(topic string, group []byte) {
	h := &p.partial
	_ = pubsub.PublishPartial(p.pubsub, topic, group, func(states map[peer.ID]peerParts, wants func(peer.ID) bool) iter.Seq2[peer.ID, partialmessages.PublishAction] {
		return func(yield func(peer.ID, partialmessages.PublishAction) bool) {
			h.mutex.Lock()
			defer h.mutex.Unlock()
			own := h.message(topic, group)
			for to, state := range states {
				action := partialmessages.PublishAction{}
				if lacks := own.has &^ state.has; lacks != 0 && wants(to) {
					action.EncodedPartialMessage = own.encode(lacks)
					state.has |= lacks
				}
				if state.told != own.has {
					action.EncodedPartsMetadata = []byte{own.has}
					state.told = own.has
				}
				states[to] = state
				if !yield(to, action) {
					return
				}
			}
		}
	})
}

func (m *heldParts) encode(which byte) []byte {
	out := []byte{which}
	for i := range 8 {
		if which&(1<<i) != 0 {
			out = append(out, m.parts[i]...)
		}
	}
	return out
}

type partsJoinArgs struct {
	Topic string `json:"topic"`
	Wants bool   `json:"wants"`
}

// joinParts makes a topic known for messages in parts; it is subscribed after.
func joinParts(_ context.Context, p *pubsubHost, args partsJoinArgs) (fields, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.topics[args.Topic] != nil {
		return nil, fmt.Errorf("topic %q was joined already", args.Topic)
	}
	option := pubsub.SupportsPartialMessages()
	if args.Wants {
		option = pubsub.RequestPartialMessages()
	}
	topic, err := p.pubsub.Join(args.Topic, option)
	if err != nil {
		return nil, fmt.Errorf("join %q: %w", args.Topic, err)
	}
	p.topics[args.Topic] = &joinedTopic{topic: topic, received: newReceivedMessages(false)}
	return nil, nil
}

type partsPutArgs struct {
	Topic string            `json:"topic"`
	Group string            `json:"group_hex"`
	Parts map[string]string `json:"parts"`
}

// putParts has parts of a message, by number, in hexadecimal, and publishes them.
func putParts(_ context.Context, p *pubsubHost, args partsPutArgs) (fields, error) {
	if p.partial.extension == nil {
		return nil, errPartsMissing
	}
	group, err := hex.DecodeString(args.Group)
	if err != nil {
		return nil, fmt.Errorf("argument \"group_hex\": %w", err)
	}
	p.partial.mutex.Lock()
	message := p.partial.message(args.Topic, group)
	for name, text := range args.Parts {
		part, err := hex.DecodeString(text)
		if err != nil || len(part) != partSize || len(name) != 1 || name[0] < '0' || name[0] > '7' {
			p.partial.mutex.Unlock()
			return nil, fmt.Errorf("argument \"parts\": %q: %q", name, text)
		}
		message.parts[name[0]-'0'] = part
		message.has |= 1 << (name[0] - '0')
	}
	p.partial.mutex.Unlock()
	p.publishParts(args.Topic, group)
	return nil, nil
}

type partsGetArgs struct {
	Topic   string `json:"topic"`
	Group   string `json:"group_hex"`
	AtLeast int    `json:"at_least"`
}

// getParts tells which parts of a message are here, once there are so many.
func getParts(ctx context.Context, p *pubsubHost, args partsGetArgs) (fields, error) {
	group, err := hex.DecodeString(args.Group)
	if err != nil {
		return nil, fmt.Errorf("argument \"group_hex\": %w", err)
	}
	found := func() map[string]string {
		p.partial.mutex.Lock()
		defer p.partial.mutex.Unlock()
		parts := map[string]string{}
		for i, part := range p.partial.message(args.Topic, group).parts {
			if part != nil {
				parts[fmt.Sprint(i)] = hex.EncodeToString(part)
			}
		}
		return parts
	}
	err = awaitAtLeast(ctx, args.AtLeast, func() int { return len(found()) })
	return fields{"parts": found()}, err
}

type testedArgs struct {
	AtLeast int `json:"at_least"`
}

// listTested tells which peers sent the test extension's RPC, once there are so many.
func listTested(ctx context.Context, p *pubsubHost, args testedArgs) (fields, error) {
	found := func() []string {
		p.partial.mutex.Lock()
		defer p.partial.mutex.Unlock()
		peers := []string{}
		for each := range p.partial.tested {
			peers = append(peers, each.String())
		}
		return peers
	}
	err := awaitAtLeast(ctx, args.AtLeast, func() int { return len(found()) })
	return fields{"peers": found()}, err
}
