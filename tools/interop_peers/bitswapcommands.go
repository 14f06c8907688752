package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	unixfs "github.com/ipfs/boxo/ipld/unixfs/io"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

var errCidMissing = errors.New("argument \"cid\" is missing")

// bitswapCommands are those of a node that exchanges blocks. Binary data is hexadecimal.
var bitswapCommands = commands[*bitswapNode]{
	"connect":  {dialLimit, withArgs(connectArgs{}, connectBitswap)},
	"close":    {shortLimit, withArgs(closeArgs{}, disconnectBitswap)},
	"put":      {shortLimit, withArgs(blockArgs{Version: 1, Codec: cid.Raw}, putBlock)},
	"get":      {bulkLimit, withArgs(wantArgs{}, getBlock)},
	"add_file": {bulkLimit, withArgs(fileArgs{Chunk: 256 << 10}, addFile)},
	"get_file": {bulkLimit, withArgs(wantArgs{}, getFile)},
	"wants":    {shortLimit, withArgs(noArgs{}, listWants)},
}

type blockArgs struct {
	Data    string `json:"data"`
	Version uint64 `json:"version"`
	Codec   uint64 `json:"codec"`
}

type wantArgs struct {
	Cid string `json:"cid"`
}

type fileArgs struct {
	Bytes int64  `json:"bytes"`
	Chunk int64  `json:"chunk"`
	Seed  uint64 `json:"seed"`
}

func (a wantArgs) parse() (cid.Cid, error) {
	if a.Cid == "" {
		return cid.Undef, errCidMissing
	}
	return cid.Decode(a.Cid)
}

func connectBitswap(ctx context.Context, n *bitswapNode, args connectArgs) (fields, error) {
	target, err := parseTarget(args.Addr)
	if err != nil {
		return nil, err
	}
	return fields{"peer": target.ID.String()}, dial(ctx, n.host, target)
}

func disconnectBitswap(_ context.Context, n *bitswapNode, args closeArgs) (fields, error) {
	if args.Peer == "" {
		return nil, errPeerMissing
	}
	return nil, n.host.Network().ClosePeer(args.Peer)
}

// putBlock keeps a block and tells whoever wants it.
func putBlock(ctx context.Context, n *bitswapNode, args blockArgs) (fields, error) {
	data, err := hex.DecodeString(args.Data)
	if err != nil {
		return nil, fmt.Errorf("argument \"data\": %w", err)
	}
	prefix := cid.Prefix{Version: args.Version, Codec: args.Codec, MhType: multihash.SHA2_256, MhLength: 32}
	name, err := prefix.Sum(data)
	if err != nil {
		return nil, fmt.Errorf("name the block: %w", err)
	}
	block, err := blocks.NewBlockWithCid(data, name)
	if err != nil {
		return nil, err
	}
	if err := n.blocks.Put(ctx, block); err != nil {
		return nil, err
	}
	return fields{"cid": name.String()}, n.exchange.NotifyNewBlocks(ctx, block)
}

func getBlock(ctx context.Context, n *bitswapNode, args wantArgs) (fields, error) {
	name, err := args.parse()
	if err != nil {
		return nil, err
	}
	block, err := n.exchange.GetBlock(ctx, name)
	if err != nil {
		return nil, err
	}
	return fields{"data": hex.EncodeToString(block.RawData())}, nil
}

// addFile keeps a file of pseudo-random bytes: raw leaves, balanced, as kubo does it.
func addFile(ctx context.Context, n *bitswapNode, args fileArgs) (fields, error) {
	content := payload{size: args.Bytes, chunk: copyBufferSize, seed: args.Seed}
	if err := content.check(); err != nil {
		return nil, err
	}
	reader, writer := io.Pipe()
	var digest []byte
	go func() {
		var err error
		digest, err = content.writeTo(writer)
		writer.CloseWithError(err)
	}()
	params := helpers.DagBuilderParams{
		Maxlinks: helpers.DefaultLinksPerBlock, RawLeaves: true, Dagserv: n.dag,
		CidBuilder: cid.V1Builder{Codec: cid.DagProtobuf, MhType: multihash.SHA2_256},
	}
	builder, err := params.New(chunk.NewSizeSplitter(reader, args.Chunk))
	if err != nil {
		return nil, err
	}
	root, err := balanced.Layout(builder)
	if err != nil {
		return nil, fmt.Errorf("lay out the file: %w", err)
	}
	return fields{"cid": root.Cid().String(), "sha256": hex.EncodeToString(digest)}, nil
}

// getFile reads a file to its end, as kubo does it, and says how long that took.
func getFile(ctx context.Context, n *bitswapNode, args wantArgs) (fields, error) {
	name, err := args.parse()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	root, err := n.dag.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	reader, err := unixfs.NewDagReader(ctx, root, n.dag)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	digest := sha256.New()
	size, err := reader.WriteTo(digest)
	if err != nil {
		return nil, fmt.Errorf("read byte %d: %w", size, err)
	}
	took := time.Since(began).Seconds()
	return fields{"bytes": size, "sha256": hex.EncodeToString(digest.Sum(nil)), "seconds": took}, nil
}

func listWants(_ context.Context, n *bitswapNode, _ noArgs) (fields, error) {
	wanted := []string{}
	for _, each := range n.exchange.GetWantlist() {
		wanted = append(wanted, each.String())
	}
	return fields{"cids": wanted}, nil
}
