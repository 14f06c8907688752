package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
)

// serveKad runs a Kademlia network for as long as `serve` runs a node.
func serveKad(args []string) error {
	options, err := parseKadOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read flags: %w", err)
	}
	out := newLineQueue(os.Stdout)
	defer out.close(lastLinesPatience)
	network, err := startKadNetwork(context.Background(), options)
	if err != nil {
		return err
	}
	defer closeInTime(network)
	ready, err := network.ready()
	if err != nil {
		return err
	}
	ctx, end := processContext(options.lifetime)
	defer end(nil)
	out.send(ready)
	go func() { end(kadCommands.answerFrom(ctx, network, os.Stdin, out)) }()
	<-ctx.Done()
	return causeOfFailure(ctx)
}
