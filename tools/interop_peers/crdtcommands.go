package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

// crdtCommands are those of a replica and of its host. Values are text.
var crdtCommands = withCrdtHost(commands[*crdtReplica]{
	"put":    {bulkLimit, withArgs(entryArgs{}, putKey)},
	"delete": {bulkLimit, withArgs(keyArgs{}, deleteKey)},
	"batch":  {bulkLimit, withArgs(batchArgs{}, putBatch)},
	"dump":   {bulkLimit, withArgs(noArgs{}, dumpReplica)},
})

func withCrdtHost(known commands[*crdtReplica]) commands[*crdtReplica] {
	for name, one := range hostCommands {
		known[name] = command[*crdtReplica]{one.limit, func(ctx context.Context, r *crdtReplica, rawArgs []byte) (fields, error) {
			return one.run(ctx, r.pubsub, rawArgs)
		}}
	}
	for _, name := range []string{"pubsub_mesh", "pubsub_peers"} {
		one := pubsubCommands[name]
		known[name] = command[*crdtReplica]{one.limit, func(ctx context.Context, r *crdtReplica, rawArgs []byte) (fields, error) {
			return one.run(ctx, r.pubsub, rawArgs)
		}}
	}
	return known
}

type keyArgs struct {
	Key string `json:"key"`
}

type entryArgs struct {
	keyArgs
	Value string `json:"value"`
}

type batchArgs struct {
	Put    map[string]string `json:"put"`
	Delete []string          `json:"delete"`
}

func putKey(ctx context.Context, r *crdtReplica, args entryArgs) (fields, error) {
	return nil, r.store.Put(ctx, datastore.NewKey(args.Key), []byte(args.Value))
}

func deleteKey(ctx context.Context, r *crdtReplica, args keyArgs) (fields, error) {
	return nil, r.store.Delete(ctx, datastore.NewKey(args.Key))
}

func putBatch(ctx context.Context, r *crdtReplica, args batchArgs) (fields, error) {
	batch, err := r.store.Batch(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin a batch: %w", err)
	}
	failures := []error{}
	for key, value := range args.Put {
		failures = append(failures, batch.Put(ctx, datastore.NewKey(key), []byte(value)))
	}
	for _, key := range args.Delete {
		failures = append(failures, batch.Delete(ctx, datastore.NewKey(key)))
	}
	return nil, errors.Join(append(failures, batch.Commit(ctx))...)
}

// dumpReplica says what the mapping holds, and what its heads are.
func dumpReplica(ctx context.Context, r *crdtReplica, _ noArgs) (fields, error) {
	results, err := r.store.Query(ctx, query.Query{})
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	entries, err := results.Rest()
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	found := map[string]string{}
	for _, each := range entries {
		found[each.Key] = string(each.Value)
	}
	state := r.store.InternalStats(ctx)
	heads := []string{}
	for _, each := range state.Heads {
		heads = append(heads, each.String())
	}
	return fields{"entries": found, "heads": heads, "height": state.MaxHeight}, nil
}
