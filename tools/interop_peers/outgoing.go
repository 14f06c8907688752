package main

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const negotiationLimit = 10 * time.Second

// open opens a stream on an existing connection; it never dials.
func (n *node) open(ctx context.Context, p peer.ID, name protocol.ID) (network.Stream, error) {
	if p == "" {
		return nil, errPeerMissing
	}
	if !n.reachable(p) {
		return nil, fmt.Errorf("open %s: not connected to %s", name, p)
	}
	ctx = network.WithAllowLimitedConn(network.WithNoDial(ctx, "only connect dials"), "the command says so")
	ctx, cancel := context.WithTimeout(ctx, negotiationLimit)
	defer cancel()
	stream, err := n.host.NewStream(ctx, p, name)
	if err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", name, p, err)
	}
	return stream, nil
}

// withStream opens a stream, lets use work on it, and closes it; after a
// failure, or when ctx ends in between, it resets the stream instead.
func (n *node) withStream(ctx context.Context, p peer.ID, name protocol.ID, use func(network.Stream) error) error {
	stream, err := n.open(ctx, p, name)
	if err != nil {
		return err
	}
	disarm := context.AfterFunc(ctx, func() { _ = stream.Reset() })
	defer disarm()
	if err := use(stream); err != nil {
		_ = stream.Reset()
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w: %w", name, context.Cause(ctx), err)
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := stream.Close(); err != nil {
		return fmt.Errorf("%s: close stream: %w", name, err)
	}
	return nil
}

func closeWriting(stream network.Stream) error {
	if err := stream.CloseWrite(); err != nil {
		return fmt.Errorf("close for writing: %w", err)
	}
	return nil
}
