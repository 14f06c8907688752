package main

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
)

// heldHosts are dialing hosts with a connection each, kept until released.
type heldHosts struct {
	mutex sync.Mutex
	hosts []host.Host
}

func (held *heldHosts) add(h host.Host) {
	held.mutex.Lock()
	defer held.mutex.Unlock()
	held.hosts = append(held.hosts, h)
}

func (held *heldHosts) size() int {
	held.mutex.Lock()
	defer held.mutex.Unlock()
	return len(held.hosts)
}

func (held *heldHosts) takeAll() []host.Host {
	held.mutex.Lock()
	defer held.mutex.Unlock()
	hosts := held.hosts
	held.hosts = nil
	return hosts
}

type holdArgs struct {
	Addr        string `json:"addr"`
	Count       int    `json:"count"`
	Concurrency int    `json:"concurrency"`
}

// hold opens connections from fresh hosts and keeps them. Those that
// succeeded stay even when others failed.
func hold(ctx context.Context, n *node, args holdArgs) (fields, error) {
	if err := checkRepeat(args.Count, args.Concurrency); err != nil {
		return nil, err
	}
	target, err := parseTarget(args.Addr)
	if err != nil {
		return nil, err
	}
	result := repeat(ctx, args.Count, args.Concurrency, func(ctx context.Context, _ int) error {
		dialer, err := newDialer(n.options)
		if err != nil {
			return err
		}
		if err := dial(ctx, dialer, target); err != nil {
			_ = dialer.Close()
			return err
		}
		n.held.add(dialer)
		return nil
	})
	report := result.fields(args.Count)
	report["held"] = n.held.size()
	return report, nil
}

const releaseWorkers = 8

func release(_ context.Context, n *node, _ noArgs) (fields, error) {
	hosts := n.held.takeAll()
	waiting := make(chan host.Host, len(hosts))
	for _, h := range hosts {
		waiting <- h
	}
	close(waiting)
	started := time.Now()
	var closing sync.WaitGroup
	for range releaseWorkers {
		closing.Go(func() {
			for h := range waiting {
				_ = h.Close()
			}
		})
	}
	closing.Wait()
	return fields{"released": len(hosts), "seconds": time.Since(started).Seconds()}, nil
}
