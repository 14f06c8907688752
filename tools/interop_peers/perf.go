package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	perfProtocol   protocol.ID = "/perf/1.0.0"
	perfBufferSize             = 256 << 10
)

// perfFiller is what both sides send; nobody may write to it.
var perfFiller = make([]byte, perfBufferSize)

// servePerf reads how many bytes are wanted (8 bytes, big-endian), reads the
// upload to its end, and sends what was wanted.
func servePerf(stream network.Stream) error {
	var head [8]byte
	if _, err := io.ReadFull(stream, head[:]); err != nil {
		return fmt.Errorf("read wanted size: %w", err)
	}
	wanted := binary.BigEndian.Uint64(head[:])
	if wanted > math.MaxInt64 {
		return fmt.Errorf("read wanted size: %d is too large", wanted)
	}
	if uploaded, err := drain(stream, make([]byte, perfBufferSize)); err != nil {
		return fmt.Errorf("receive after %d bytes: %w", uploaded, err)
	}
	return sendFiller(stream, int64(wanted), perfBufferSize)
}

type perfArgs struct {
	Peer     peer.ID `json:"peer"`
	Upload   int64   `json:"upload"`
	Download int64   `json:"download"`
	Chunk    int     `json:"chunk"`
}

func perf(ctx context.Context, n *node, args perfArgs) (fields, error) {
	if args.Upload < 0 || args.Download < 0 {
		return nil, errors.New("arguments \"upload\" and \"download\" must not be negative")
	}
	if args.Chunk < 1 || args.Chunk > perfBufferSize {
		return nil, fmt.Errorf("argument \"chunk\" must be from 1 to %d, is %d", perfBufferSize, args.Chunk)
	}
	var times perfTimes
	times.started = time.Now()
	err := n.withStream(ctx, args.Peer, perfProtocol, func(stream network.Stream) error {
		return measure(stream, args, &times)
	})
	if err != nil {
		return nil, err
	}
	upload := times.answered.Sub(times.started)
	download := times.ended.Sub(times.answered)
	return fields{
		"upload_bytes":      args.Upload,
		"download_bytes":    args.Download,
		"upload_seconds":    upload.Seconds(),
		"download_seconds":  download.Seconds(),
		"seconds":           times.ended.Sub(times.started).Seconds(),
		"upload_mb_per_s":   megabytesPerSecond(args.Upload, upload),
		"writes_per_second": perSecond(math.Ceil(float64(args.Upload)/float64(args.Chunk)), upload),
		"download_mb_per_s": megabytesPerSecond(args.Download, download),
	}, nil
}

// perfTimes marks the turns of one measurement. The upload lasts until the
// peer's first byte or end of stream: only then has the peer read it all.
type perfTimes struct {
	started, answered, ended time.Time
}

func measure(stream network.Stream, args perfArgs, times *perfTimes) error {
	if _, err := stream.Write(binary.BigEndian.AppendUint64(nil, uint64(args.Download))); err != nil {
		return fmt.Errorf("send wanted size: %w", err)
	}
	if err := sendFiller(stream, args.Upload, args.Chunk); err != nil {
		return err
	}
	if err := closeWriting(stream); err != nil {
		return err
	}
	buffer := make([]byte, perfBufferSize)
	first, err := stream.Read(buffer)
	times.answered = time.Now()
	received := int64(first)
	if err == nil {
		var rest int64
		rest, err = drain(stream, buffer)
		received += rest
	}
	times.ended = time.Now()
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("receive after %d of %d bytes: %w", received, args.Download, err)
	}
	if received != args.Download {
		return fmt.Errorf("wanted %d bytes, got %d", args.Download, received)
	}
	return nil
}

// sendFiller writes size bytes, at most chunk of them at a time.
func sendFiller(w io.Writer, size int64, chunk int) error {
	for sent := int64(0); sent < size; {
		written, err := w.Write(perfFiller[:min(int64(chunk), size-sent)])
		sent += int64(written)
		if err != nil {
			return fmt.Errorf("send after %d of %d bytes: %w", sent, size, err)
		}
	}
	return nil
}

// drain reads to the end through the whole buffer; io.Copy to io.Discard
// would use smaller reads of its own.
func drain(r io.Reader, buffer []byte) (int64, error) {
	var total int64
	for {
		got, err := r.Read(buffer)
		total += int64(got)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
