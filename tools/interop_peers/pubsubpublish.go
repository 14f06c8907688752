package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
)

const numberBytes = 8

// paceSlack is how far ahead of its time a message may go: sleeping for less
// costs more processor time than it is worth.
const paceSlack = time.Millisecond

// pace gives the moments at which to send, so many per second; 0 is as fast
// as possible. Who is late catches up.
type pace struct {
	rate    float64
	started time.Time
}

func startPace(rate float64) pace { return pace{rate: rate, started: time.Now()} }

// await waits until it is time for message number i.
func (p pace) await(ctx context.Context, i int) error {
	if p.rate > 0 {
		due := p.started.Add(time.Duration(float64(i) / p.rate * float64(time.Second)))
		if early := time.Until(due); early > paceSlack {
			pause(ctx, early)
		}
	}
	return context.Cause(ctx)
}

// series makes messages that differ: the seed, a number, and pseudo-random
// bytes that depend on nothing but the seed.
type series struct {
	filling []byte
	seed    uint64
}

func newSeries(size int, seed uint64) (series, error) {
	if size < 2*numberBytes {
		return series{}, fmt.Errorf("argument \"size\" must be at least %d", 2*numberBytes)
	}
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	filling := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(filling) // documented never to fail
	return series{filling: filling, seed: seed}, nil
}

// message is a fresh copy: the router keeps what it is given.
func (s series) message(number int) []byte {
	data := append([]byte(nil), s.filling...)
	binary.BigEndian.PutUint64(data, s.seed)
	binary.BigEndian.PutUint64(data[numberBytes:], uint64(number))
	return data
}

type publishArgs struct {
	Topic string  `json:"topic"`
	Data  []byte  `json:"data"`
	Count int     `json:"count"`
	Size  int     `json:"size"`
	Rate  float64 `json:"rate"`
	Seed  uint64  `json:"seed"`
}

func (a publishArgs) check() error {
	if (a.Data == nil) == (a.Count == 0) {
		return errors.New("give either \"data\" or \"count\"")
	}
	if a.Count < 0 || a.Rate < 0 {
		return errors.New("arguments \"count\" and \"rate\" must not be negative")
	}
	return nil
}

// publish sends one message or many; joining comes of itself, subscribing
// does not. What was sent before a failure is told with it.
func publish(ctx context.Context, p *pubsubHost, args publishArgs) (fields, error) {
	if err := args.check(); err != nil {
		return nil, err
	}
	joined, err := p.join(args.Topic)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	sent := 0
	if args.Data != nil {
		if err = joined.topic.Publish(ctx, args.Data); err == nil {
			sent = 1
		}
	} else {
		sent, err = publishSeries(ctx, []*pubsub.Topic{joined.topic}, args)
	}
	return publishReport(sent, started), err
}

func publishReport(sent int, started time.Time) fields {
	elapsed := time.Since(started)
	return fields{"sent": sent, "seconds": elapsed.Seconds(), "per_second": perSecond(float64(sent), elapsed)}
}

// publishSeries sends count messages in all, through the topics in turn.
func publishSeries(ctx context.Context, topics []*pubsub.Topic, args publishArgs) (sent int, err error) {
	messages, err := newSeries(args.Size, args.Seed)
	if err != nil {
		return 0, err
	}
	rhythm := startPace(args.Rate)
	for i := range args.Count {
		if err := rhythm.await(ctx, i); err != nil {
			return sent, err
		}
		if err := topics[i%len(topics)].Publish(ctx, messages.message(i)); err != nil {
			return sent, fmt.Errorf("publish message %d: %w", i, err)
		}
		sent++
	}
	return sent, nil
}
