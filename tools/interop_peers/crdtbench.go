package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-datastore"
	crdt "github.com/ipfs/go-ds-crdt"
	leveldb "github.com/ipfs/go-ds-leveldb"
	ipld "github.com/ipfs/go-ipld-format"
)

// heldBroadcaster keeps what one replica tells until another wants it.
type heldBroadcaster struct {
	told  chan []byte
	heard chan []byte
}

func (b heldBroadcaster) Broadcast(_ context.Context, data []byte) error {
	select {
	case <-b.told:
	default:
	}
	b.told <- data
	return nil
}

func (b heldBroadcaster) Next(ctx context.Context) ([]byte, error) {
	select {
	case data := <-b.heard:
		return data, nil
	case <-ctx.Done():
		return nil, crdt.ErrNoMoreBroadcast
	}
}

type crdtBench struct {
	folder string
	puts   int
	batch  int
	size   int
}

// benchCrdt measures puts into one replica, then merges into another that has
// the blocks at hand; both keep all in leveldb with its default of synchronous writes.
func benchCrdt(args []string) error {
	var o crdtBench
	flags := flag.NewFlagSet("peer crdt-bench", flag.ContinueOnError)
	flags.StringVar(&o.folder, "dir", "", "an empty folder")
	flags.IntVar(&o.puts, "puts", 1000, "how many keys are put")
	flags.IntVar(&o.batch, "batch", 1, "how many in one node")
	flags.IntVar(&o.size, "size", 100, "bytes of a value")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return fmt.Errorf("read flags: %w", err)
	}
	if o.folder == "" || o.puts < 1 || o.batch < 1 {
		return errors.New("crdt-bench: --dir is needed, --puts and --batch must be positive")
	}
	out := newLineQueue(os.Stdout)
	defer out.close(lastLinesPatience)
	found, err := o.run(context.Background())
	if err != nil {
		return err
	}
	out.send(found)
	return nil
}

func (o crdtBench) run(ctx context.Context) (fields, error) {
	level, err := leveldb.NewDatastore(filepath.Join(o.folder, "blocks"), nil)
	if err != nil {
		return nil, fmt.Errorf("open the blocks: %w", err)
	}
	defer level.Close()
	blocks := blockstore.NewBlockstore(level)
	dag := merkledag.NewDAGService(blockservice.New(blocks, offline.Exchange(blocks)))
	writer := heldBroadcaster{make(chan []byte, 1), make(chan []byte)}
	putting, err := o.open("writer", dag, writer)
	if err != nil {
		return nil, err
	}
	defer putting.Close()
	began := time.Now()
	if err := o.putAll(ctx, putting); err != nil {
		return nil, err
	}
	put := time.Since(began)
	reader := heldBroadcaster{make(chan []byte, 1), make(chan []byte, 1)}
	merging, err := o.open("reader", dag, reader)
	if err != nil {
		return nil, err
	}
	defer merging.Close()
	began = time.Now()
	reader.heard <- <-writer.told
	last := datastore.NewKey("/key/0")
	for {
		if has, err := merging.Has(ctx, last); err != nil {
			return nil, fmt.Errorf("look for a key: %w", err)
		} else if has {
			break
		}
		time.Sleep(time.Millisecond)
	}
	merged := time.Since(began)
	return fields{
		"puts_per_second":        float64(o.puts) / put.Seconds(),
		"merges_per_second":      float64((o.puts+o.batch-1)/o.batch) / merged.Seconds(),
		"merged_keys_per_second": float64(o.puts) / merged.Seconds(),
	}, nil
}

func (o crdtBench) open(name string, dag ipld.DAGService, broadcaster crdt.Broadcaster) (*crdt.Datastore, error) {
	level, err := leveldb.NewDatastore(filepath.Join(o.folder, name), nil)
	if err != nil {
		return nil, fmt.Errorf("open the %s: %w", name, err)
	}
	store, err := crdt.New(level, datastore.NewKey("/crdt"), dag, broadcaster, crdt.DefaultOptions())
	if err != nil {
		return nil, fmt.Errorf("open the %s's replica: %w", name, err)
	}
	return store, nil
}

func (o crdtBench) putAll(ctx context.Context, store *crdt.Datastore) error {
	value := make([]byte, o.size)
	for start := 0; start < o.puts; start += o.batch {
		batch, err := store.Batch(ctx)
		if err != nil {
			return fmt.Errorf("begin a batch: %w", err)
		}
		for i := start; i < min(start+o.batch, o.puts); i++ {
			if err := batch.Put(ctx, datastore.NewKey(fmt.Sprintf("/key/%d", i)), value); err != nil {
				return fmt.Errorf("put: %w", err)
			}
		}
		if err := batch.Commit(ctx); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	return nil
}
