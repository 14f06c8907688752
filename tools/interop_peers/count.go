package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	countProtocol   protocol.ID = "/count/1.0.0"
	countAnswerSize             = 8 + sha256.Size
)

// serveCount reads to the end, then answers the number of bytes (8 bytes,
// big-endian) and their SHA-256.
func serveCount(stream network.Stream) error {
	size, digest, err := digestAll(stream)
	if err != nil {
		return fmt.Errorf("receive after %d bytes: %w", size, err)
	}
	if _, err := stream.Write(countAnswer(size, digest)); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}

func countAnswer(size int64, digest []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(size)), digest...)
}

type countArgs struct {
	Peer  peer.ID `json:"peer"`
	Bytes int64   `json:"bytes"`
	Chunk int     `json:"chunk"`
	Seed  uint64  `json:"seed"`
}

func count(ctx context.Context, n *node, args countArgs) (fields, error) {
	sent := payload{size: args.Bytes, chunk: args.Chunk, seed: args.Seed}
	if err := sent.check(); err != nil {
		return nil, err
	}
	var digest []byte
	started := time.Now()
	err := n.withStream(ctx, args.Peer, countProtocol, func(stream network.Stream) (err error) {
		digest, err = sendAndVerify(stream, sent)
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

func sendAndVerify(stream network.Stream, sent payload) ([]byte, error) {
	digest, err := sent.writeTo(stream)
	if err != nil {
		return nil, err
	}
	if err := closeWriting(stream); err != nil {
		return nil, err
	}
	// One byte more than expected shows an answer that is too long.
	answer, err := io.ReadAll(io.LimitReader(stream, countAnswerSize+1))
	if err != nil {
		return nil, fmt.Errorf("read answer after %d bytes: %w", len(answer), err)
	}
	if len(answer) != countAnswerSize {
		return nil, fmt.Errorf("read answer: got %d or more bytes, expected exactly %d", len(answer), countAnswerSize)
	}
	if counted := binary.BigEndian.Uint64(answer); counted != uint64(sent.size) {
		return nil, fmt.Errorf("sent %d bytes, peer counted %d", sent.size, counted)
	}
	if !bytes.Equal(answer[8:], digest) {
		return nil, errors.New("peer's digest differs from that of the bytes sent")
	}
	return digest, nil
}
