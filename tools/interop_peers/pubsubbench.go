package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	benchQueue   = 1 << 17
	benchPolling = 10 * time.Millisecond
)

// pubsubBenchOptions are those of all roles; a role looks at some of them.
type pubsubBenchOptions struct {
	network pubsubNetworkOptions
	topic   string
	target  string
	size    int
	rate    float64
	seconds float64
	warmUp  float64
	window  int
	workers int
	links   int
	seed    uint64
	idle    time.Duration
}

// pubsubBenches are what `peer pubsub-bench` can be told to be.
var pubsubBenches = map[string]struct {
	flags func(*flag.FlagSet, *pubsubBenchOptions)
	run   func(context.Context, *pubsubBenchOptions, *lineQueue) error
}{
	"pub":     {addPublisherFlags, benchPublisher},
	"sub":     {addSubscriberFlags, benchSubscriber},
	"network": {addNetworkFlags, benchNetwork},
}

func benchPubsub(args []string) error {
	if len(args) == 0 {
		return errors.New("pubsub-bench: say pub, sub or network")
	}
	role, known := pubsubBenches[args[0]]
	if !known {
		return fmt.Errorf("pubsub-bench: unknown role %q, choose from pub, sub, network", args[0])
	}
	options := pubsubBenchOptions{network: pubsubNetworkOptions{nodes: 1}, workers: 1}
	flags := flag.NewFlagSet("peer pubsub-bench "+args[0], flag.ContinueOnError)
	options.network.addTo(flags)
	options.network.settings.OutboundQueue = benchQueue
	options.network.settings.ValidationQueue = benchQueue
	flags.StringVar(&options.topic, "topic", "bench", "the topic")
	role.flags(flags, &options)
	if err := flags.Parse(args[1:]); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return fmt.Errorf("read flags: %w", err)
	}
	if err := options.network.complete(flags); err != nil {
		return fmt.Errorf("read flags: %w", err)
	}
	ctx, end := processContext(options.network.lifetime)
	defer end(nil)
	out := newLineQueue(os.Stdout)
	defer out.close(lastLinesPatience)
	return role.run(ctx, &options, out)
}

func addLoadFlags(flags *flag.FlagSet, o *pubsubBenchOptions) {
	flags.IntVar(&o.size, "size", messageSize, "bytes of data in a message")
	flags.Float64Var(&o.rate, "rate", 1000, "messages per second in all, 0 for as fast as possible")
	flags.Float64Var(&o.seconds, "seconds", 10, "for how long to publish")
}

func addPublisherFlags(flags *flag.FlagSet, o *pubsubBenchOptions) {
	addLoadFlags(flags, o)
	flags.StringVar(&o.target, "to", "", "address of the subscriber, with /p2p/")
	flags.IntVar(&o.workers, "workers", 1, "how many publish side by side")
	flags.DurationVar(&o.idle, "drain", 2*time.Second, "for how long to stay connected after the last message")
}

func addSubscriberFlags(flags *flag.FlagSet, o *pubsubBenchOptions) {
	flags.DurationVar(&o.idle, "idle", 2*time.Second, "end when no message came for so long after the first")
}

// startBenchHost starts a host of its own process.
func startBenchHost(o *pubsubBenchOptions, out *lineQueue) (*pubsubHost, error) {
	key, err := newIdentity("ed25519")
	if err != nil {
		return nil, err
	}
	settings := o.network.settings
	settings.Version = o.network.versions[0]
	return startPubsubHost(key, "/ip4/127.0.0.1/tcp/0", settings, out)
}

func processorSeconds() (float64, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("read processor use: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds(), nil
}

// meter tells time and processor time of the whole process since it began.
type meter struct {
	started time.Time
	used    float64
}

func startMeter() (meter, error) {
	used, err := processorSeconds()
	return meter{started: time.Now(), used: used}, err
}

func (m meter) read() (elapsed time.Duration, used float64, err error) {
	used, err = processorSeconds()
	return time.Since(m.started), used - m.used, err
}

// measured is how far a count came, and what it took.
type measured struct {
	count   int
	elapsed time.Duration
	used    float64 // seconds of processor time
}

// report adds to the figures of a role what they stand on.
func (m measured) report(role string) fields {
	report := fields{
		"role":        role,
		"seconds":     m.elapsed.Seconds(),
		"per_second":  perSecond(float64(m.count), m.elapsed),
		"cpu_seconds": m.used,
		"libp2p":      versionOf(libp2pModule),
		"pubsub":      versionOf(pubsubModule),
	}
	if m.used > 0 {
		report["per_cpu_second"] = float64(m.count) / m.used
	}
	return report
}

// subscribeCounting counts what comes from others; first is called once.
func subscribeCounting(p *pubsubHost, topic string, count *atomic.Int64, first func()) (*joinedTopic, error) {
	joined, err := p.join(topic)
	if err != nil {
		return nil, err
	}
	self := p.host.ID()
	return joined, p.subscribe(joined, newReceivedMessages(false), func(message *pubsub.Message) {
		if message.ReceivedFrom != self && count.Add(1) == 1 {
			first()
		}
	})
}

// benchSubscriber counts until nothing comes any more. Its figures are those
// from the first message to the last.
func benchSubscriber(ctx context.Context, o *pubsubBenchOptions, out *lineQueue) error {
	p, err := startBenchHost(o, out)
	if err != nil {
		return err
	}
	defer closeInTime(p)
	var count atomic.Int64
	begun := make(chan meter, 1)
	if _, err = subscribeCounting(p, o.topic, &count, func() {
		if started, err := startMeter(); err == nil {
			begun <- started
		}
	}); err != nil {
		return err
	}
	ready, err := describeHost(p.host)
	if err != nil {
		return err
	}
	ready["event"] = "ready"
	out.send(ready)
	var since meter
	select {
	case since = <-begun:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	result, err := untilQuiet(ctx, since, func() int { return int(count.Load()) }, math.MaxInt, o.idle)
	if err != nil {
		return err
	}
	report := result.report("sub")
	report["received"], report["lost"] = result.count, p.tracer.losses()
	out.send(report)
	return nil
}

// untilQuiet follows a count until it is enough or rests for as long as idle,
// and says when it last moved. The end of the context is an end as well.
func untilQuiet(ctx context.Context, since meter, count func() int, enough int, idle time.Duration) (measured, error) {
	result := measured{count: -1}
	moved := time.Now()
	for ctx.Err() == nil && time.Since(moved) < idle && result.count < enough {
		if now := count(); now != result.count {
			moved = time.Now()
			elapsed, used, err := since.read()
			if err != nil {
				return result, err
			}
			result = measured{count: now, elapsed: elapsed, used: used}
			continue
		}
		pause(ctx, benchPolling)
	}
	return result, nil
}

// benchPublisher publishes once the subscriber is its neighbour. Its figures
// are those of publishing and of sending what was still queued.
func benchPublisher(ctx context.Context, o *pubsubBenchOptions, out *lineQueue) error {
	if o.workers < 1 {
		return errors.New("--workers: must be positive")
	}
	target, err := parseTarget(o.target)
	if err != nil {
		return fmt.Errorf("read --to: %w", err)
	}
	p, err := startBenchHost(o, out)
	if err != nil {
		return err
	}
	defer closeInTime(p)
	var ignored atomic.Int64
	joined, err := subscribeCounting(p, o.topic, &ignored, func() {})
	if err != nil {
		return err
	}
	if err := dial(ctx, p.host, target); err != nil {
		return err
	}
	if err := p.awaitNeighbour(ctx, o.topic); err != nil {
		return err
	}
	since, err := startMeter()
	if err != nil {
		return err
	}
	sent, err := publishFor(ctx, []*pubsub.Topic{joined.topic}, o, func() bool { return true })
	if err != nil {
		return err
	}
	elapsed := time.Since(since.started)
	pause(ctx, o.idle)
	_, used, err := since.read()
	if err != nil {
		return err
	}
	report := measured{count: sent, elapsed: elapsed, used: used}.report("pub")
	report["sent"], report["lost"] = sent, p.tracer.losses()
	out.send(report)
	return nil
}

// awaitNeighbour waits for the first peer that messages will go to.
func (p *pubsubHost) awaitNeighbour(ctx context.Context, topic string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, dialLimit, errors.New("no neighbour appeared"))
	defer cancel()
	return awaitAtLeast(ctx, 1, func() int { return len(p.neighbours(topic)) })
}

// neighbours are the peers that a message goes to: the mesh, or in floodsub
// everyone.
func (p *pubsubHost) neighbours(topic string) []peer.ID {
	if p.floods {
		return p.pubsub.ListPeers(topic)
	}
	return p.tracer.mesh(topic)
}

// publishFor publishes through the topics in turn for as long as it has to,
// by one worker or several. While mayGo says no, a worker waits, and does not
// catch up later.
func publishFor(ctx context.Context, topics []*pubsub.Topic, o *pubsubBenchOptions, mayGo func() bool) (int, error) {
	messages, err := newSeries(o.size, o.seed)
	if err != nil {
		return 0, err
	}
	run := publishing{options: o, topics: topics, messages: messages, mayGo: mayGo, rhythm: startPace(o.rate)}
	failures := make([]error, o.workers)
	var running sync.WaitGroup
	for worker := range o.workers {
		running.Go(func() { failures[worker] = run.work(ctx) })
	}
	running.Wait()
	return int(run.sent.Load()), errors.Join(failures...)
}

// publishing is what its workers share.
type publishing struct {
	options     *pubsubBenchOptions
	topics      []*pubsub.Topic
	messages    series
	mayGo       func() bool
	rhythm      pace
	taken, sent atomic.Int64
}

func (r *publishing) work(ctx context.Context) error {
	for {
		number := int(r.taken.Add(1) - 1)
		if err := r.rhythm.await(ctx, number); err != nil {
			return err
		}
		for !r.over(number) && !r.mayGo() && ctx.Err() == nil {
			pause(ctx, paceSlack/4)
		}
		if r.over(number) {
			return nil
		}
		if err := r.topics[number%len(r.topics)].Publish(ctx, r.messages.message(number)); err != nil {
			return fmt.Errorf("publish message %d: %w", number, err)
		}
		r.sent.Add(1)
	}
}

// over says whether a message is one too many, or too late where there is no
// rate.
func (r *publishing) over(number int) bool {
	if r.options.rate > 0 {
		return float64(number) >= r.options.rate*r.options.seconds
	}
	return time.Since(r.rhythm.started).Seconds() >= r.options.seconds
}
