package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	marketProtocol protocol.ID = "/betar/marketplace/1.0.0"
	x402Protocol   protocol.ID = "/x402/libp2p/1.0.0"
	maxTypeBytes               = 128
	maxDataBytes               = 8 << 20
	streamLimit                = 30 * time.Second
)

var errFrame = errors.New("a frame beyond its limits")

// writeFrame writes a type and data (sections 2 and 3.1).
func writeFrame(w io.Writer, kind string, data []byte) error {
	if len(kind) == 0 || len(kind) > maxTypeBytes || len(data) > maxDataBytes {
		return errFrame
	}
	frame := binary.BigEndian.AppendUint16(nil, uint16(len(kind)))
	frame = append(frame, kind...)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(data)))
	_, err := w.Write(append(frame, data...))
	return err
}

func readFrame(r io.Reader) (string, []byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return "", nil, err
	}
	size := binary.BigEndian.Uint16(length[:])
	if size == 0 || size > maxTypeBytes {
		return "", nil, errFrame
	}
	kind := make([]byte, size)
	if _, err := io.ReadFull(r, kind); err != nil {
		return "", nil, err
	}
	data, err := readData(r)
	return string(kind), data, err
}

// writeData writes what a reply of the marketplace protocol is: no type.
func writeData(w io.Writer, data []byte) error {
	if len(data) > maxDataBytes {
		return errFrame
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...))
	return err
}

func readData(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if size > maxDataBytes {
		return nil, errFrame
	}
	data := make([]byte, size)
	_, err := io.ReadFull(r, data)
	return data, err
}

// withMarketStream opens a stream for one request and one reply.
func (m *market) withMarketStream(ctx context.Context, to peer.ID, id protocol.ID, use func(network.Stream) error) error {
	ctx, cancel := context.WithTimeout(ctx, streamLimit)
	defer cancel()
	stream, err := m.pubsub.host.NewStream(ctx, to, id)
	if err != nil {
		return fmt.Errorf("open a stream: %w", err)
	}
	deadline, _ := ctx.Deadline()
	_ = stream.SetDeadline(deadline)
	if err := use(stream); err != nil {
		_ = stream.Reset()
		return err
	}
	return stream.Close()
}

// askMarket sends a request of the marketplace protocol and reads the reply.
func (m *market) askMarket(ctx context.Context, to peer.ID, kind string, data []byte) (reply []byte, err error) {
	err = m.withMarketStream(ctx, to, marketProtocol, func(stream network.Stream) error {
		if err := writeFrame(stream, kind, data); err != nil {
			return fmt.Errorf("send %s: %w", kind, err)
		}
		reply, err = readData(stream)
		return err
	})
	return reply, err
}

// askX402 sends one message and reads the one that answers it.
func (m *market) askX402(ctx context.Context, to peer.ID, kind string, data []byte) (replyKind string, reply []byte, err error) {
	err = m.withMarketStream(ctx, to, x402Protocol, func(stream network.Stream) error {
		if err := writeFrame(stream, kind, data); err != nil {
			return fmt.Errorf("send %s: %w", kind, err)
		}
		replyKind, reply, err = readFrame(stream)
		return err
	})
	return replyKind, reply, err
}

func (m *market) serveMarket(stream network.Stream) {
	_ = stream.SetDeadline(time.Now().Add(streamLimit))
	kind, data, err := readFrame(stream)
	if err == nil {
		err = writeData(stream, m.answerMarket(kind, data, stream.Conn().RemotePeer()))
	}
	m.endStream(stream, err)
}

func (m *market) serveX402(stream network.Stream) {
	kind, data, err := readFrame(stream)
	if err == nil {
		ctx, cancel := context.WithTimeout(m.ctx, streamLimit)
		defer cancel()
		replyKind, reply := m.answerX402(ctx, kind, data, stream.Conn().RemotePeer())
		err = writeFrame(stream, replyKind, reply)
	}
	m.endStream(stream, err)
}

// endStream closes; a bad frame is answered by closing without a byte.
func (m *market) endStream(stream network.Stream, err error) {
	if err != nil {
		m.out.send(fields{
			"event": "stream_failed", "peer": stream.Conn().RemotePeer().String(),
			"protocol": string(stream.Protocol()), "error": err.Error(),
		})
	}
	_ = stream.Close()
}
