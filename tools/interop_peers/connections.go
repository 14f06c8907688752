package main

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
)

type connectionsArgs struct {
	Addr        string `json:"addr"`
	Count       int    `json:"count"`
	Concurrency int    `json:"concurrency"`
}

// openManyConnections connects, waits for identify and closes, over and over.
// Each worker has a host of its own, made before the clock starts.
func openManyConnections(ctx context.Context, n *node, args connectionsArgs) (fields, error) {
	if err := checkRepeat(args.Count, args.Concurrency); err != nil {
		return nil, err
	}
	target, err := parseTarget(args.Addr)
	if err != nil {
		return nil, err
	}
	var dialers []*identifyingDialer
	defer func() {
		for _, dialer := range dialers {
			dialer.close()
		}
	}()
	for range min(args.Concurrency, args.Count) {
		dialer, err := newIdentifyingDialer(n.options)
		if err != nil {
			return nil, err
		}
		dialers = append(dialers, dialer)
	}
	result := repeat(ctx, args.Count, len(dialers), func(ctx context.Context, worker int) error {
		return dialers[worker].visit(ctx, target)
	})
	return result.fields(args.Count), nil
}

// identifyingDialer is a dialing host that can tell how identify went.
type identifyingDialer struct {
	host          host.Host
	identifyEnded event.Subscription
}

func newIdentifyingDialer(options serveOptions) (*identifyingDialer, error) {
	h, err := newDialer(options)
	if err != nil {
		return nil, err
	}
	subscription, err := h.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted),
		new(event.EvtPeerIdentificationFailed),
	}, eventbus.BufSize(eventBacklog))
	if err != nil {
		_ = h.Close()
		return nil, fmt.Errorf("subscribe to identifications: %w", err)
	}
	return &identifyingDialer{host: h, identifyEnded: subscription}, nil
}

func (d *identifyingDialer) close() {
	_ = d.host.Close()
	_ = d.identifyEnded.Close()
}

// visit makes one connection and closes it when identify is done.
func (d *identifyingDialer) visit(ctx context.Context, target peer.AddrInfo) error {
	d.forgetEarlier()
	if err := dial(ctx, d.host, target); err != nil {
		return err
	}
	identifyErr := d.awaitIdentify(ctx)
	if err := d.host.Network().ClosePeer(target.ID); err != nil {
		return fmt.Errorf("close connection to %s: %w", target.ID, err)
	}
	return identifyErr
}

// forgetEarlier drops what an earlier connection may have left, such as an
// identify push that came after the identification.
func (d *identifyingDialer) forgetEarlier() {
	for {
		select {
		case <-d.identifyEnded.Out():
		default:
			return
		}
	}
}

func (d *identifyingDialer) awaitIdentify(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for identify: %w", context.Cause(ctx))
	case ended := <-d.identifyEnded.Out():
		if failed, ok := ended.(event.EvtPeerIdentificationFailed); ok {
			return fmt.Errorf("identify: %w", failed.Reason)
		}
		return nil
	}
}
