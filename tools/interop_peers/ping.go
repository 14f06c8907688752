package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	pingprotocol "github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

const pongLimit = 10 * time.Second

var errPongDiffers = errors.New("pong differs from ping")

type pingArgs struct {
	Peer       peer.ID `json:"peer"`
	Count      int     `json:"count"`
	IntervalMS int     `json:"interval_ms"`
}

func ping(ctx context.Context, n *node, args pingArgs) (fields, error) {
	if args.Count < 1 || args.IntervalMS < 0 {
		return nil, errors.New("arguments \"count\" and \"interval_ms\" must be positive, the latter may be 0")
	}
	run := pinger{node: n, peer: args.Peer}
	defer run.hangUp()
	for i := range args.Count {
		if i > 0 && args.IntervalMS > 0 {
			pause(ctx, time.Duration(args.IntervalMS)*time.Millisecond)
		}
		if err := run.once(ctx); err != nil {
			return run.summary(), fmt.Errorf("ping %d of %d: %w", i+1, args.Count, err)
		}
	}
	return run.summary(), nil
}

func pause(ctx context.Context, length time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(length):
	}
}

// pinger sends pings one after the other over one stream for as long as the
// peer keeps it open; a ping service ends a stream after some time.
type pinger struct {
	node    *node
	peer    peer.ID
	stream  network.Stream
	used    bool // the stream has answered before
	streams int
	trips   []time.Duration
	lost    int
}

// once sends one ping. A stream that worked and then ended is replaced
// without a loss; a missing or wrong answer, or a fresh stream that fails,
// is a loss; a stream that cannot be opened is an error.
func (r *pinger) once(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.ensureStream(ctx); err != nil {
			return err
		}
		trip, err := r.exchange(ctx)
		if err == nil {
			r.used = true
			r.trips = append(r.trips, trip)
			return nil
		}
		ended := r.used && !isTimeout(err) && !errors.Is(err, errPongDiffers)
		r.hangUp()
		if !ended && ctx.Err() == nil {
			r.lost++
			return nil
		}
	}
}

func isTimeout(err error) bool {
	var networkError net.Error
	return errors.As(err, &networkError) && networkError.Timeout()
}

func (r *pinger) ensureStream(ctx context.Context) (err error) {
	if r.stream == nil {
		r.stream, err = r.node.open(ctx, r.peer, pingprotocol.ID)
		if err != nil {
			return err
		}
		r.streams++
		r.used = false
	}
	return nil
}

func (r *pinger) exchange(ctx context.Context) (time.Duration, error) {
	disarm := context.AfterFunc(ctx, func() { _ = r.stream.Reset() })
	defer disarm()
	var sent, received [pingprotocol.PingSize]byte
	_, _ = rand.Read(sent[:]) // documented never to fail
	if err := r.stream.SetDeadline(time.Now().Add(pongLimit)); err != nil {
		return 0, err
	}
	started := time.Now()
	if _, err := r.stream.Write(sent[:]); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(r.stream, received[:]); err != nil {
		return 0, err
	}
	trip := time.Since(started)
	if !bytes.Equal(sent[:], received[:]) {
		return 0, errPongDiffers
	}
	return trip, nil
}

// hangUp leaves no stream behind.
func (r *pinger) hangUp() {
	if r.stream != nil {
		_ = r.stream.Reset()
		r.stream = nil
	}
}

func (r *pinger) summary() fields {
	slices.Sort(r.trips)
	return fields{
		"count":     len(r.trips),
		"lost":      r.lost,
		"streams":   r.streams,
		"median_us": r.percentile(50),
		"p99_us":    r.percentile(99),
	}
}

// percentile is the nearest-rank percentile in microseconds, null without pings.
func (r *pinger) percentile(percent int) any {
	if len(r.trips) == 0 {
		return nil
	}
	rank := (len(r.trips)*percent + 99) / 100
	return float64(r.trips[rank-1].Nanoseconds()) / 1000
}
