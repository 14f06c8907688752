package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

type streamsArgs struct {
	Peer        peer.ID `json:"peer"`
	Count       int     `json:"count"`
	Concurrency int     `json:"concurrency"`
}

// openManyStreams opens echo streams; each carries one byte there and back.
func openManyStreams(ctx context.Context, n *node, args streamsArgs) (fields, error) {
	if err := checkRepeat(args.Count, args.Concurrency); err != nil {
		return nil, err
	}
	if args.Peer == "" {
		return nil, errPeerMissing
	}
	result := repeat(ctx, args.Count, args.Concurrency, func(ctx context.Context, _ int) error {
		return n.withStream(ctx, args.Peer, echoProtocol, echoOneByte)
	})
	return result.fields(args.Count), nil
}

func echoOneByte(stream network.Stream) error {
	if _, err := stream.Write([]byte{0x5a}); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	var back [1]byte
	if _, err := io.ReadFull(stream, back[:]); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if back[0] != 0x5a {
		return errors.New("what came back differs from what was sent")
	}
	return nil
}
