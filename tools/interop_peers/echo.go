package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const echoProtocol protocol.ID = "/echo/1.0.0"

// serveEcho sends everything back until the opener closes its side.
func serveEcho(stream network.Stream) error {
	buffer := copyBuffers.Get().(*[copyBufferSize]byte)
	defer copyBuffers.Put(buffer)
	if _, err := io.CopyBuffer(stream, stream, buffer[:]); err != nil {
		return fmt.Errorf("copy back: %w", err)
	}
	return nil
}

type echoArgs struct {
	Peer  peer.ID `json:"peer"`
	Bytes int64   `json:"bytes"`
	Chunk int     `json:"chunk"`
	Seed  uint64  `json:"seed"`
}

func echo(ctx context.Context, n *node, args echoArgs) (fields, error) {
	sent := payload{size: args.Bytes, chunk: args.Chunk, seed: args.Seed}
	if err := sent.check(); err != nil {
		return nil, err
	}
	var digest []byte
	started := time.Now()
	err := n.withStream(ctx, args.Peer, echoProtocol, func(stream network.Stream) (err error) {
		digest, err = exchange(stream, sent)
		return err
	})
	if err != nil {
		return nil, err
	}
	elapsed := time.Since(started)
	return fields{
		"bytes":    args.Bytes,
		"sha256":   hex.EncodeToString(digest),
		"seconds":  elapsed.Seconds(),
		"mb_per_s": megabytesPerSecond(args.Bytes, elapsed),
	}, nil
}

// exchange sends while it receives, and checks that both were the same.
func exchange(stream network.Stream, sent payload) ([]byte, error) {
	type received struct {
		size   int64
		digest []byte
		err    error
	}
	returned := make(chan received, 1)
	go func() {
		size, digest, err := digestAll(stream)
		returned <- received{size, digest, err}
	}()
	digest, sendErr := sent.writeTo(stream)
	if sendErr == nil {
		sendErr = closeWriting(stream)
	}
	if sendErr != nil {
		_ = stream.Reset() // lets the receiver return
	}
	back := <-returned
	switch {
	case sendErr != nil:
		return nil, sendErr
	case back.err != nil:
		return nil, fmt.Errorf("receive after %d of %d bytes: %w", back.size, sent.size, back.err)
	case back.size != sent.size:
		return nil, fmt.Errorf("sent %d bytes and got %d back", sent.size, back.size)
	case !bytes.Equal(back.digest, digest):
		return nil, errors.New("what came back differs from what was sent")
	}
	return digest, nil
}
