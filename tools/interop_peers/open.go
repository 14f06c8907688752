package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

type openArgs struct {
	Peer       peer.ID     `json:"peer"`
	Protocol   protocol.ID `json:"protocol"`
	SendHex    string      `json:"send_hex"`
	ReadBytes  int64       `json:"read_bytes"`
	CloseWrite bool        `json:"close_write"`
}

// openStream speaks any protocol: it sends some bytes and reads some. What
// had been received is part of the answer even when it failed.
func openStream(ctx context.Context, n *node, args openArgs) (fields, error) {
	if args.Protocol == "" {
		return nil, errors.New("argument \"protocol\" is missing")
	}
	if args.ReadBytes < 0 {
		return nil, errors.New("argument \"read_bytes\" must not be negative")
	}
	message, err := hex.DecodeString(args.SendHex)
	if err != nil {
		return nil, fmt.Errorf("read argument \"send_hex\": %w", err)
	}
	var received []byte
	err = n.withStream(ctx, args.Peer, args.Protocol, func(stream network.Stream) (err error) {
		received, err = sendAndReceive(stream, message, args)
		return err
	})
	return fields{
		"received_hex": hex.EncodeToString(received),
		"eof":          err == nil && int64(len(received)) < args.ReadBytes,
	}, err
}

func sendAndReceive(stream network.Stream, message []byte, args openArgs) ([]byte, error) {
	if len(message) > 0 {
		if _, err := stream.Write(message); err != nil {
			return nil, fmt.Errorf("send: %w", err)
		}
	}
	if args.CloseWrite {
		if err := closeWriting(stream); err != nil {
			return nil, err
		}
	}
	received, err := io.ReadAll(io.LimitReader(stream, args.ReadBytes))
	if err != nil {
		return received, fmt.Errorf("read after %d of %d bytes: %w", len(received), args.ReadBytes, err)
	}
	return received, nil
}
