package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/ipfs/boxo/bitswap"
	bsnet "github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	crdt "github.com/ipfs/go-ds-crdt"
	ipld "github.com/ipfs/go-ipld-format"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	crdtTopic       = "betar/marketplace/crdt"
	listingsTopic   = "betar/marketplace/listings"
	listingsBuffer  = 32
	announceDefault = 30 * time.Second
)

// marketOptions describe one node of the Betar marketplace.
type marketOptions struct {
	listen      string
	keySeedHex  string
	wallet      string
	rpc         string
	facilitator string
	asset       string
	chain       int64
	announce    time.Duration
	rebroadcast time.Duration
	lifetime    time.Duration
}

func parseMarketOptions(args []string) (marketOptions, error) {
	var o marketOptions
	flags := flag.NewFlagSet("peer market", flag.ContinueOnError)
	flags.StringVar(&o.listen, "listen", "/ip4/127.0.0.1/tcp/0", "multiaddr to listen on")
	flags.StringVar(&o.keySeedHex, "seed", "", "seed of its Ed25519 identity, 64 hexadecimal digits (default a new one)")
	flags.StringVar(&o.wallet, "wallet", "", "its wallet's private key, 64 hexadecimal digits (default: no payments)")
	flags.StringVar(&o.rpc, "rpc", "", "JSON-RPC of the chain (default: no payments)")
	flags.StringVar(&o.facilitator, "facilitator", "", "URL of the facilitator; sellers need it")
	flags.StringVar(&o.asset, "asset", sepoliaUSDC, "address of the token")
	flags.Int64Var(&o.chain, "chain", sepoliaChain, "id of the chain")
	flags.DurationVar(&o.announce, "announce", announceDefault, "how often its agents are announced")
	flags.DurationVar(&o.rebroadcast, "rebroadcast", time.Minute, "how often heads are told again")
	flags.DurationVar(&o.lifetime, "timeout", 600*time.Second, "end the process after this long, 0 for never")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, nil
}

// market is a node of the marketplace: a mapping of listings that all have,
// two stream protocols, agents of its own, and a wallet.
type market struct {
	options  marketOptions
	pubsub   *pubsubHost
	out      *lineQueue
	store    *crdt.Datastore
	dag      ipld.DAGService
	listings *pubsub.Topic
	money    *money
	ctx      context.Context
	stop     context.CancelFunc
	closed   []io.Closer

	mutex      sync.Mutex
	agents     map[string]*agent
	orders     map[string]order
	challenges map[string]challenge
	usedNonces map[string]bool
	known      map[string]bool
}

func marketIdentity(seedHex string) (crypto.PrivKey, error) {
	if seedHex == "" {
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		return key, err
	}
	seed, err := fixedHex(seedHex, 32)
	if err != nil {
		return nil, fmt.Errorf("--seed: %w", err)
	}
	return ed25519Identity(seed)
}

func startMarket(o marketOptions, out *lineQueue) (*market, error) {
	key, err := marketIdentity(o.keySeedHex)
	if err != nil {
		return nil, err
	}
	host, err := startPubsubHost(key, o.listen, defaultPubsubSettings(), out)
	if err != nil {
		return nil, err
	}
	m := &market{
		options: o, pubsub: host, out: out, agents: map[string]*agent{}, orders: map[string]order{},
		challenges: map[string]challenge{}, usedNonces: map[string]bool{}, known: map[string]bool{},
	}
	m.ctx, m.stop = context.WithCancel(context.Background())
	if err := m.open(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *market) open() error {
	if err := m.openStore(); err != nil {
		return err
	}
	var err error
	if m.options.wallet != "" && m.options.rpc != "" {
		if m.money, err = openMoney(m.ctx, m.options); err != nil {
			return err
		}
	}
	host := m.pubsub.host
	host.SetStreamHandler(marketProtocol, m.serveMarket)
	host.SetStreamHandler(x402Protocol, m.serveX402)
	host.Network().Notify(&network.NotifyBundle{
		ConnectedF: func(_ network.Network, c network.Conn) { go m.pullInfo(c.RemotePeer()) },
	})
	if m.listings, err = m.pubsub.pubsub.Join(listingsTopic); err != nil {
		return fmt.Errorf("join %s: %w", listingsTopic, err)
	}
	subscription, err := m.listings.Subscribe(pubsub.WithBufferSize(listingsBuffer))
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", listingsTopic, err)
	}
	go m.receiveListings(subscription)
	go m.announceAgain()
	return nil
}

// openStore opens the mapping. It is in memory only, and lost at the end.
func (m *market) openStore() error {
	memory := dssync.MutexWrap(datastore.NewMapDatastore())
	blocks := blockstore.NewBlockstore(memory)
	exchange := bitswap.New(m.ctx, bsnet.NewFromIpfsHost(m.pubsub.host), nil, blocks)
	m.closed = append(m.closed, exchange)
	m.dag = merkledag.NewDAGService(blockservice.New(blocks, exchange))
	broadcaster, err := crdt.NewPubSubBroadcaster(m.ctx, m.pubsub.pubsub, crdtTopic)
	if err != nil {
		return fmt.Errorf("join %s: %w", crdtTopic, err)
	}
	options := crdt.DefaultOptions()
	options.RebroadcastInterval = m.options.rebroadcast
	options.NumWorkers = 2
	options.PutHook = func(key datastore.Key, value []byte) { m.tellListing(value) }
	options.DeleteHook = func(key datastore.Key) { m.out.send(fields{"event": "unlisted", "key": key.String()}) }
	m.store, err = crdt.New(memory, datastore.NewKey("/marketplace"), m.dag, broadcaster, options)
	if err != nil {
		return fmt.Errorf("open the mapping: %w", err)
	}
	return nil
}

func (m *market) tellListing(value []byte) {
	var found listing
	if json.Unmarshal(value, &found) == nil {
		m.out.send(fields{"event": "listed", "id": found.ID, "name": found.Name, "price": found.Price})
	}
}

func (m *market) self() peer.ID { return m.pubsub.host.ID() }

func (m *market) Close() error {
	m.stop()
	failures := []error{}
	if m.store != nil {
		failures = append(failures, m.store.Close())
	}
	for i := len(m.closed) - 1; i >= 0; i-- {
		failures = append(failures, m.closed[i].Close())
	}
	return errors.Join(append(failures, m.pubsub.Close())...)
}

// serveMarketNode runs a node of the marketplace as `serve` runs a node.
func serveMarketNode(args []string) error {
	options, err := parseMarketOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read flags: %w", err)
	}
	out := newLineQueue(os.Stdout)
	defer out.close(lastLinesPatience)
	m, err := startMarket(options, out)
	if err != nil {
		return err
	}
	defer closeInTime(m)
	ready, err := describeHost(m.pubsub.host)
	if err != nil {
		return err
	}
	ready["event"] = "ready"
	if m.money != nil {
		ready["wallet"] = m.money.address.Hex()
	}
	ctx, end := processContext(options.lifetime)
	defer end(nil)
	out.send(ready)
	go func() { end(marketCommands.answerFrom(ctx, m, os.Stdin, out)) }()
	<-ctx.Done()
	return causeOfFailure(ctx)
}
