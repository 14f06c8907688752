package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// subscriptionQueue is how many delivered messages wait for the recorder.
const subscriptionQueue = 65536

var (
	errPubsubRuns    = errors.New("pubsub was started already")
	errPubsubMissing = errors.New("pubsub was not started: use pubsub_start")
)

// pubsubSlot is where a host keeps its pubsub, once it is told to have one.
type pubsubSlot struct {
	mutex sync.Mutex
	out   *lineQueue
	host  *pubsubHost
}

func (s *pubsubSlot) start(h host.Host, settings pubsubSettings) (*pubsubHost, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.host != nil {
		return nil, errPubsubRuns
	}
	var err error
	s.host, err = startPubsub(h, settings, s.out)
	return s.host, err
}

func (s *pubsubSlot) get() (*pubsubHost, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.host == nil {
		return nil, errPubsubMissing
	}
	return s.host, nil
}

// pubsubHost is pubsub on a host, and what was seen of it.
type pubsubHost struct {
	host    host.Host
	pubsub  *pubsub.PubSub
	tracer  *pubsubTracer
	scores  *scoreBoard
	out     *lineQueue
	stop    context.CancelFunc
	floods  bool
	partial partialHost
	mutex   sync.Mutex
	topics  map[string]*joinedTopic
}

// startPubsub starts a router on a host; it also takes in peers that are
// connected already. Events go to out.
func startPubsub(h host.Host, settings pubsubSettings, out *lineQueue) (*pubsubHost, error) {
	p := &pubsubHost{
		host: h, tracer: newPubsubTracer(), scores: newScoreBoard(), out: out,
		floods: settings.Router == "floodsub", topics: map[string]*joinedTopic{},
	}
	options, err := settings.options()
	if err != nil {
		return nil, err
	}
	options = append(options, pubsub.WithRawTracer(p.tracer))
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	switch settings.Router {
	case "floodsub":
		if settings.Params != nil || settings.Score != nil || settings.Thresholds != nil {
			p.stop()
			return nil, errors.New("arguments \"params\", \"score\" and \"thresholds\" are for gossipsub")
		}
		p.pubsub, err = pubsub.NewFloodSub(ctx, h, options...)
	case "gossipsub":
		var more []pubsub.Option
		if more, err = settings.gossipOptions(p.scores); err == nil {
			options = append(options, more...)
			more, err = settings.extensionOptions(p)
		}
		if err == nil {
			p.pubsub, err = pubsub.NewGossipSub(ctx, h, append(options, more...)...)
		}
	default:
		err = fmt.Errorf("argument \"router\": unknown router %q", settings.Router)
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("start pubsub: %w", err)
	}
	return p, nil
}

// joinedTopic is a topic this host may publish in, and what it received
// there while it was subscribed.
type joinedTopic struct {
	topic        *pubsub.Topic
	received     *receivedMessages
	subscription *pubsub.Subscription
}

// join makes a topic known; joining twice is once.
func (p *pubsubHost) join(name string) (*joinedTopic, error) {
	if name == "" {
		return nil, errors.New("argument \"topic\" is missing")
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if known := p.topics[name]; known != nil {
		return known, nil
	}
	topic, err := p.pubsub.Join(name)
	if err != nil {
		return nil, fmt.Errorf("join %q: %w", name, err)
	}
	joined := &joinedTopic{topic: topic, received: newReceivedMessages(false)}
	p.topics[name] = joined
	return joined, nil
}

// joined is a topic that was joined before.
func (p *pubsubHost) joined(name string) (*joinedTopic, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if known := p.topics[name]; known != nil {
		return known, nil
	}
	return nil, fmt.Errorf("topic %q was not joined", name)
}

// subscribe records anew, and gives every message that comes to deliver, one
// at a time, until the subscription or pubsub ends.
func (p *pubsubHost) subscribe(joined *joinedTopic, received *receivedMessages, deliver func(*pubsub.Message)) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if joined.subscription != nil {
		return errors.New("this topic is subscribed already")
	}
	subscription, err := joined.topic.Subscribe(pubsub.WithBufferSize(subscriptionQueue))
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	joined.subscription, joined.received = subscription, received
	go func() {
		for {
			message, err := subscription.Next(context.Background())
			if err != nil {
				return
			}
			deliver(message)
		}
	}()
	return nil
}

// received is what came in a topic since it was last subscribed.
func (p *pubsubHost) received(name string) (*receivedMessages, error) {
	joined, err := p.joined(name)
	if err != nil {
		return nil, err
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return joined.received, nil
}

func (p *pubsubHost) unsubscribe(joined *joinedTopic) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if joined.subscription == nil {
		return errors.New("this topic is not subscribed")
	}
	joined.subscription.Cancel()
	joined.subscription = nil
	return nil
}

// verdictByPrefix rejects or ignores messages that begin with certain bytes.
type verdictByPrefix struct {
	reject []byte
	ignore []byte
}

func parseVerdicts(rejectHex, ignoreHex string) (verdictByPrefix, error) {
	var verdicts verdictByPrefix
	var err error
	if verdicts.reject, err = hex.DecodeString(rejectHex); err != nil {
		return verdicts, fmt.Errorf("argument \"reject_hex\": %w", err)
	}
	if verdicts.ignore, err = hex.DecodeString(ignoreHex); err != nil {
		return verdicts, fmt.Errorf("argument \"ignore_hex\": %w", err)
	}
	return verdicts, nil
}

func (v verdictByPrefix) validate(_ context.Context, _ peer.ID, message *pubsub.Message) pubsub.ValidationResult {
	switch data := message.GetData(); {
	case beginsWith(data, v.reject):
		return pubsub.ValidationReject
	case beginsWith(data, v.ignore):
		return pubsub.ValidationIgnore
	default:
		return pubsub.ValidationAccept
	}
}

// beginsWith is false for an empty beginning: it stands for none.
func beginsWith(data, beginning []byte) bool {
	return len(beginning) > 0 && len(data) >= len(beginning) && string(data[:len(beginning)]) == string(beginning)
}
