package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/boxo/bitswap"
	bsnet "github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/sync"
	leveldb "github.com/ipfs/go-ds-leveldb"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// bitswapVersions are the protocols of boxo's bitswap, best first.
var bitswapVersions = []protocol.ID{
	bsnet.ProtocolBitswap, bsnet.ProtocolBitswapOneOne, bsnet.ProtocolBitswapOneZero, bsnet.ProtocolBitswapNoVers,
}

// bitswapOptions describe one node.
type bitswapOptions struct {
	folder    string
	protocols []protocol.ID
	lifetime  time.Duration
}

func parseBitswapOptions(args []string) (bitswapOptions, error) {
	o := bitswapOptions{protocols: bitswapVersions}
	flags := flag.NewFlagSet("peer bitswap", flag.ContinueOnError)
	flags.StringVar(&o.folder, "dir", "", "folder of its leveldb store; without one blocks are kept in memory")
	flags.Func("protocols", "comma separated protocol ids to speak (default all)", func(list string) error {
		o.protocols = nil
		for _, name := range strings.Split(list, ",") {
			if !slices.Contains(bitswapVersions, protocol.ID(name)) {
				return fmt.Errorf("%q is not a protocol of bitswap", name)
			}
			o.protocols = append(o.protocols, protocol.ID(name))
		}
		return nil
	})
	flags.DurationVar(&o.lifetime, "timeout", 600*time.Second, "end the process after this long, 0 for never")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, nil
}

// bitswapNode is boxo's bitswap on a host, with a store of blocks.
type bitswapNode struct {
	host     host.Host
	blocks   blockstore.Blockstore
	exchange *bitswap.Bitswap
	dag      ipld.DAGService
	stop     context.CancelFunc
	closed   []io.Closer
}

func startBitswap(o bitswapOptions) (*bitswapNode, error) {
	key, err := newIdentity("ed25519")
	if err != nil {
		return nil, err
	}
	n := &bitswapNode{}
	n.host, err = libp2p.New(
		libp2p.Identity(key),
		protocolStack(serveOptions{transports: []string{"tcp"}, security: "noise"}),
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"),
		withoutLimits(),
	)
	if err != nil {
		return nil, fmt.Errorf("start host: %w", err)
	}
	n.closed = append(n.closed, n.host)
	var store datastore.Batching = sync.MutexWrap(datastore.NewMapDatastore())
	if o.folder != "" {
		if store, err = leveldb.NewDatastore(o.folder, nil); err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w", o.folder, err), n.host.Close())
		}
	}
	n.closed = append(n.closed, store)
	n.blocks = blockstore.NewBlockstore(store)
	var ctx context.Context
	ctx, n.stop = context.WithCancel(context.Background())
	network := bsnet.NewFromIpfsHost(n.host, bsnet.SupportedProtocols(o.protocols))
	n.exchange = bitswap.New(ctx, network, nil, n.blocks)
	n.closed = append(n.closed, n.exchange)
	n.dag = merkledag.NewDAGService(blockservice.New(n.blocks, n.exchange))
	return n, nil
}

func (n *bitswapNode) Close() error {
	n.stop()
	failures := []error{}
	for i := len(n.closed) - 1; i >= 0; i-- {
		failures = append(failures, n.closed[i].Close())
	}
	return errors.Join(failures...)
}

// serveBitswap runs a node for as long as `serve` runs one.
func serveBitswap(args []string) error {
	options, err := parseBitswapOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read flags: %w", err)
	}
	out := newLineQueue(os.Stdout)
	defer out.close(lastLinesPatience)
	node, err := startBitswap(options)
	if err != nil {
		return err
	}
	defer closeInTime(node)
	ready, err := describeHost(node.host)
	if err != nil {
		return err
	}
	ready["event"] = "ready"
	ctx, end := processContext(options.lifetime)
	defer end(nil)
	out.send(ready)
	go func() { end(bitswapCommands.answerFrom(ctx, node, os.Stdin, out)) }()
	<-ctx.Done()
	return causeOfFailure(ctx)
}
