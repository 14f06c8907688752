package main

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
)

type kadBenchOptions struct {
	kadOptions
	links  int
	rounds int
	warmUp int
}

func parseKadBenchOptions(args []string) (kadBenchOptions, error) {
	var options kadBenchOptions
	flags := flag.NewFlagSet("peer kad-bench", flag.ContinueOnError)
	options.addTo(flags, 100, "/bench")
	flags.IntVar(&options.links, "links", 3, "how many earlier nodes each node connects to")
	flags.IntVar(&options.rounds, "rounds", 200, "how many rounds are measured")
	flags.IntVar(&options.warmUp, "warm-up", 100, "how many rounds go before")
	if err := flags.Parse(args); err != nil {
		return options, err
	}
	if err := options.check(flags); err != nil {
		return options, err
	}
	if options.nodes < 2 || options.links < 1 || options.rounds < 1 || options.warmUp < 0 {
		return options, errors.New("--nodes: at least 2; --links, --rounds: at least 1; --warm-up: at least 0")
	}
	if options.prefix == "/ipfs" {
		return options, fmt.Errorf("--prefix: the public network keeps no values under /%s/", openNamespace)
	}
	return options, nil
}

// benchKad joins a network, measures one operation after the other, each at
// a random node, and prints the figures as one line.
func benchKad(args []string) error {
	options, err := parseKadBenchOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read flags: %w", err)
	}
	ctx, end := processContext(options.lifetime)
	defer end(nil)
	network, err := startKadNetwork(ctx, options.kadOptions)
	if err != nil {
		return err
	}
	defer closeInTime(network)
	report, err := join(ctx, network, joinArgs{Links: options.links})
	if err != nil {
		return err
	}
	report["join_ms"] = report["elapsed_ms"]
	delete(report, "elapsed_ms")
	report["rounds"] = options.rounds
	report["libp2p"], report["kad_dht"] = versionOf(libp2pModule), versionOf(kadModule)
	run := kadBench{nodes: network.running(), trips: map[string][]time.Duration{}}
	for i := range options.warmUp + options.rounds {
		if i == options.warmUp {
			clear(run.trips)
		}
		if err := run.round(ctx); err != nil {
			return fmt.Errorf("round %d: %w", i+1, err)
		}
	}
	for name, trips := range run.trips {
		report[name] = summarize(trips)
	}
	out := newLineQueue(os.Stdout)
	defer out.close(lastLinesPatience)
	out.send(report)
	return nil
}

// kadBench collects how long each operation took.
type kadBench struct {
	nodes []*kadNode
	trips map[string][]time.Duration
}

// round does each operation once. What one node provided or put is found or
// got by another, and has to be what it was. Nobody acknowledges a provider,
// so the search for it comes after the put: by then all have taken it in.
func (b *kadBench) round(ctx context.Context) error {
	key, value := "/"+openNamespace+"/"+hex.EncodeToString(randomBytes()), randomBytes()
	digest, err := multihash.Sum(value, multihash.SHA2_256, -1)
	if err != nil {
		return err
	}
	content := cid.NewCidV1(cid.Raw, digest)
	giver, seeker := b.twoNodes()
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"closest_peers", func() error { return seekClosest(ctx, seeker) }},
		{"provide", func() error { return giver.dht.Provide(ctx, content, true) }},
		{"put_value", func() error { return giver.dht.PutValue(ctx, key, value) }},
		{"find_providers", func() error { return seekProvider(ctx, seeker, content, giver.host.ID()) }},
		{"get_value", func() error { return seekValue(ctx, seeker, key, value) }},
	} {
		if err := b.measure(step.name, step.run); err != nil {
			return err
		}
	}
	return nil
}

func seekClosest(ctx context.Context, seeker *kadNode) error {
	closest, err := seeker.dht.GetClosestPeers(ctx, string(randomBytes()))
	if err == nil && len(closest) == 0 {
		err = errors.New("there are no peers")
	}
	return err
}

func seekProvider(ctx context.Context, seeker *kadNode, content cid.Cid, provider peer.ID) error {
	found, err := seeker.dht.FindProviders(ctx, content)
	if err == nil && (len(found) != 1 || found[0].ID != provider) {
		err = fmt.Errorf("found %v, wanted %s", found, provider)
	}
	return err
}

func seekValue(ctx context.Context, seeker *kadNode, key string, value []byte) error {
	got, err := seeker.dht.GetValue(ctx, key)
	if err == nil && !bytes.Equal(got, value) {
		err = fmt.Errorf("got %x, wanted %x", got, value)
	}
	return err
}

func (b *kadBench) measure(name string, do func() error) error {
	started := time.Now()
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b.trips[name] = append(b.trips[name], time.Since(started))
	return nil
}

func (b *kadBench) twoNodes() (first, second *kadNode) {
	chosen := rand.Perm(len(b.nodes))
	return b.nodes[chosen[0]], b.nodes[chosen[1]]
}

func randomBytes() []byte {
	some := make([]byte, 32)
	_, _ = crand.Read(some) // documented never to fail
	return some
}

// summarize takes nearest-rank percentiles.
func summarize(trips []time.Duration) fields {
	slices.Sort(trips)
	rank := func(percent int) float64 { return milliseconds(trips[(len(trips)*percent+99)/100-1]) }
	return fields{"median_ms": rank(50), "p90_ms": rank(90)}
}
