package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
)

const (
	copyBufferSize = 64 << 10
	maxChunk       = 16 << 20
)

var copyBuffers = sync.Pool{New: func() any { return new([copyBufferSize]byte) }}

// payload describes pseudo-random bytes that depend on nothing but the seed.
type payload struct {
	size  int64
	chunk int
	seed  uint64
}

func (p payload) check() error {
	if p.size < 0 {
		return fmt.Errorf("argument \"bytes\" must not be negative, is %d", p.size)
	}
	if p.chunk < 1 || p.chunk > maxChunk {
		return fmt.Errorf("argument \"chunk\" must be from 1 to %d, is %d", maxChunk, p.chunk)
	}
	return nil
}

// writeTo writes the payload chunk by chunk and returns its digest.
func (p payload) writeTo(w io.Writer) ([]byte, error) {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], p.seed)
	generator := rand.NewChaCha8(key)
	digest := sha256.New()
	chunk := make([]byte, p.chunk)
	for sent := int64(0); sent < p.size; {
		part := chunk[:min(int64(len(chunk)), p.size-sent)]
		_, _ = generator.Read(part) // documented never to fail
		digest.Write(part)
		written, err := w.Write(part)
		sent += int64(written)
		if err != nil {
			return nil, fmt.Errorf("send byte %d of %d: %w", sent, p.size, err)
		}
	}
	return digest.Sum(nil), nil
}

// digestAll reads to the end and returns how much there was and its digest.
func digestAll(r io.Reader) (int64, []byte, error) {
	buffer := copyBuffers.Get().(*[copyBufferSize]byte)
	defer copyBuffers.Put(buffer)
	digest := sha256.New()
	total, err := io.CopyBuffer(digest, r, buffer[:])
	return total, digest.Sum(nil), err
}
