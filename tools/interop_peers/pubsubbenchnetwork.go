package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync/atomic"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
)

const meshPatience = 30 * time.Second

func addNetworkFlags(flags *flag.FlagSet, o *pubsubBenchOptions) {
	o.network.addNodesTo(flags)
	addLoadFlags(flags, o)
	flags.Float64Var(&o.warmUp, "warm-up", 2, "seconds of publishing before the measured ones")
	flags.IntVar(&o.links, "links", 10, "connections of every host at least, at random")
	flags.Uint64Var(&o.seed, "seed", 0, "chooses the connections")
	flags.IntVar(&o.window, "window", 64, "with --rate 0: how many messages may be under way at once")
	flags.DurationVar(&o.idle, "idle", 2*time.Second, "give up on what is missing when nothing came for so long")
}

// benchNetwork measures a whole network in this process: every host publishes
// in turn, and each message has to reach all the others.
func benchNetwork(ctx context.Context, o *pubsubBenchOptions, out *lineQueue) error {
	if o.network.nodes < 2 || o.links < 1 || o.window < 1 {
		return errors.New("--nodes: at least 2; --links, --window: at least 1")
	}
	n, err := startPubsubNetwork(o.network, out)
	if err != nil {
		return err
	}
	defer closeInTime(n)
	run := networkBench{options: o, network: n}
	if err := run.prepare(ctx); err != nil {
		return err
	}
	report, err := run.measure(ctx)
	if err != nil {
		return err
	}
	out.send(report)
	return nil
}

// networkBench is a network whose deliveries are counted.
type networkBench struct {
	options     *pubsubBenchOptions
	network     *pubsubNetwork
	hosts       []*pubsubHost
	topics      []*pubsub.Topic
	delivered   atomic.Int64
	connections int
}

// prepare links the hosts, waits for their meshes and warms them up.
func (b *networkBench) prepare(ctx context.Context) error {
	_, b.hosts = b.network.running()
	for _, p := range b.hosts {
		joined, err := subscribeCounting(p, b.options.topic, &b.delivered, func() {})
		if err != nil {
			return err
		}
		b.topics = append(b.topics, joined.topic)
	}
	var err error
	if b.connections, err = b.network.link(ctx, b.options.links, b.options.seed); err != nil {
		return err
	}
	if err := b.awaitMeshes(ctx); err != nil {
		return err
	}
	warmUp := *b.options
	warmUp.seconds, warmUp.seed = warmUp.warmUp, warmUp.seed+1
	_, _, err = b.publish(ctx, &warmUp)
	return err
}

// awaitMeshes waits until every host has as many neighbours as it would look
// for, and then two heartbeats for the last grafts and prunes.
func (b *networkBench) awaitMeshes(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, meshPatience, errors.New("the meshes did not fill"))
	defer cancel()
	wanted := min(pubsub.GossipSubDlo, b.options.links, len(b.hosts)-1)
	for i, p := range b.hosts {
		count := func() int { return len(p.neighbours(b.options.topic)) }
		if err := awaitAtLeast(ctx, wanted, count); err != nil {
			return fmt.Errorf("neighbours of node %d: %w", i, err)
		}
	}
	pause(ctx, 2*pubsub.GossipSubHeartbeatInterval)
	return context.Cause(ctx)
}

// publish returns when everything has arrived, or nothing comes any more.
func (b *networkBench) publish(ctx context.Context, o *pubsubBenchOptions) (sent int, result measured, err error) {
	since, err := startMeter()
	if err != nil {
		return 0, result, err
	}
	before := int(b.delivered.Load())
	delivered := func() int { return int(b.delivered.Load()) - before }
	others := len(b.hosts) - 1
	begun := 0
	sent, err = publishFor(ctx, b.topics, o, func() bool {
		if o.rate == 0 && begun-delivered()/others >= o.window {
			return false
		}
		begun++
		return true
	})
	if err != nil {
		return sent, result, err
	}
	if result, err = untilQuiet(ctx, since, delivered, sent*others, o.idle); err != nil {
		return sent, result, err
	}
	return sent, result, context.Cause(ctx)
}

func (b *networkBench) measure(ctx context.Context) (fields, error) {
	duplicatesBefore := b.duplicates()
	sent, result, err := b.publish(ctx, b.options)
	if err != nil {
		return nil, err
	}
	report := result.report("network")
	report["nodes"], report["connections"] = len(b.hosts), b.connections
	report["sent"], report["expected"], report["delivered"] = sent, sent*(len(b.hosts)-1), result.count
	report["duplicates"] = b.duplicates() - duplicatesBefore
	report["smallest_mesh"], report["largest_mesh"] = b.meshes()
	report["lost"] = b.losses()
	return report, nil
}

func (b *networkBench) duplicates() (sum int64) {
	for _, p := range b.hosts {
		sum += p.tracer.repeats()
	}
	return sum
}

func (b *networkBench) meshes() (smallest, largest int) {
	for i, p := range b.hosts {
		size := len(p.neighbours(b.options.topic))
		if i == 0 || size < smallest {
			smallest = size
		}
		largest = max(largest, size)
	}
	return smallest, largest
}

// losses are those of all hosts since they were started.
func (b *networkBench) losses() map[string]int64 {
	sums := map[string]int64{}
	for _, p := range b.hosts {
		for name, count := range p.tracer.losses() {
			sums[name] += count
		}
	}
	return sums
}
