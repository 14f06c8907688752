package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ipfs/boxo/bitswap"
	bsnet "github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-datastore"
	crdt "github.com/ipfs/go-ds-crdt"
	leveldb "github.com/ipfs/go-ds-leveldb"
)

// crdtOptions describe one replica.
type crdtOptions struct {
	folder      string
	topic       string
	rebroadcast time.Duration
	lifetime    time.Duration
}

func parseCrdtOptions(args []string) (crdtOptions, error) {
	var o crdtOptions
	flags := flag.NewFlagSet("peer crdt", flag.ContinueOnError)
	flags.StringVar(&o.folder, "dir", "", "folder of its leveldb store, kept between runs")
	flags.StringVar(&o.topic, "topic", "crdt", "the topic of the replicas")
	flags.DurationVar(&o.rebroadcast, "rebroadcast", time.Minute, "how often heads are told again")
	flags.DurationVar(&o.lifetime, "timeout", 600*time.Second, "end the process after this long, 0 for never")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.folder == "" {
		return o, errors.New("--dir: is missing")
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, nil
}

// crdtReplica is a go-ds-crdt on a host: pubsub for its broadcasts, bitswap
// for its blocks, leveldb with its default of synchronous writes below both.
type crdtReplica struct {
	pubsub *pubsubHost
	store  *crdt.Datastore
	stop   context.CancelFunc
	closed []io.Closer
}

func startCrdt(o crdtOptions, out *lineQueue) (*crdtReplica, error) {
	key, err := newIdentity("ed25519")
	if err != nil {
		return nil, err
	}
	settings := defaultPubsubSettings()
	host, err := startPubsubHost(key, "/ip4/127.0.0.1/tcp/0", settings, out)
	if err != nil {
		return nil, err
	}
	r := &crdtReplica{pubsub: host}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	if err := r.open(ctx, o); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *crdtReplica) open(ctx context.Context, o crdtOptions) error {
	level, err := leveldb.NewDatastore(o.folder, nil)
	if err != nil {
		return fmt.Errorf("open %s: %w", o.folder, err)
	}
	r.closed = append(r.closed, level)
	blocks := blockstore.NewBlockstore(level)
	exchange := bitswap.New(ctx, bsnet.NewFromIpfsHost(r.pubsub.host), nil, blocks)
	r.closed = append(r.closed, exchange)
	dag := merkledag.NewDAGService(blockservice.New(blocks, exchange))
	broadcaster, err := crdt.NewPubSubBroadcaster(ctx, r.pubsub.pubsub, o.topic)
	if err != nil {
		return fmt.Errorf("join %s: %w", o.topic, err)
	}
	options := crdt.DefaultOptions()
	options.RebroadcastInterval = o.rebroadcast
	r.store, err = crdt.New(level, datastore.NewKey("/marketplace"), dag, broadcaster, options)
	if err != nil {
		return fmt.Errorf("open the replica: %w", err)
	}
	return nil
}

func (r *crdtReplica) Close() error {
	r.stop()
	failures := []error{}
	if r.store != nil {
		failures = append(failures, r.store.Close())
	}
	for i := len(r.closed) - 1; i >= 0; i-- {
		failures = append(failures, r.closed[i].Close())
	}
	return errors.Join(append(failures, r.pubsub.Close())...)
}

// serveCrdt runs a replica for as long as `serve` runs a node.
func serveCrdt(args []string) error {
	options, err := parseCrdtOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read flags: %w", err)
	}
	out := newLineQueue(os.Stdout)
	defer out.close(lastLinesPatience)
	replica, err := startCrdt(options, out)
	if err != nil {
		return err
	}
	defer closeInTime(replica)
	ready, err := describeHost(replica.pubsub.host)
	if err != nil {
		return err
	}
	ready["event"] = "ready"
	ctx, end := processContext(options.lifetime)
	defer end(nil)
	out.send(ready)
	go func() { end(crdtCommands.answerFrom(ctx, replica, os.Stdin, out)) }()
	<-ctx.Done()
	return causeOfFailure(ctx)
}
