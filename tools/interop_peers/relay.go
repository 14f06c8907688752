package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/multiformats/go-multiaddr"
)

// relayParts are the parts that a host can play in circuit relay v2.
var relayParts = []string{"off", "use", "serve", "serve-unlimited"}

// relayLimits are those of a relay that limits its circuits.
type relayLimits struct {
	seconds int
	bytes   int64
}

func checkRelayPart(part string) error {
	if !slices.Contains(relayParts, part) {
		return fmt.Errorf("--relay: unknown part %q, choose from %s", part, strings.Join(relayParts, ", "))
	}
	return nil
}

// relayChoice lets a host go through relays, or be one. A relay has to
// believe that it is public, else it would not serve.
func relayChoice(options serveOptions) libp2p.Option {
	switch options.relay {
	case "use":
		return libp2p.ChainOptions(libp2p.EnableRelay(), libp2p.ForceReachabilityPrivate())
	case "serve", "serve-unlimited":
		resources := relay.DefaultResources()
		resources.MaxReservationsPerIP = resources.MaxReservations
		resources.Limit = &relay.RelayLimit{
			Duration: time.Duration(options.relayLimits.seconds) * time.Second,
			Data:     options.relayLimits.bytes,
		}
		if options.relay == "serve-unlimited" {
			resources.Limit = nil
		}
		return libp2p.ChainOptions(
			libp2p.EnableRelay(),
			libp2p.EnableRelayService(relay.WithResources(resources)),
			libp2p.ForceReachabilityPublic(),
		)
	default:
		// A fixed reachability keeps AutoNAT from asking others to probe us.
		return libp2p.ChainOptions(libp2p.DisableRelay(), libp2p.ForceReachabilityPrivate())
	}
}

type reserveArgs struct {
	Addr string `json:"addr"`
}

var circuit = multiaddr.StringCast("/p2p-circuit")

// reserve asks a relay for a reservation, and takes what comes through it.
func reserve(ctx context.Context, n *node, args reserveArgs) (fields, error) {
	if n.options.relay == "off" {
		return nil, errors.New("reserve: this peer was started without --relay")
	}
	target, err := parseTarget(args.Addr)
	if err != nil {
		return nil, err
	}
	if err := dial(ctx, n.host, target); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(n.host.Network().ListenAddresses(), circuit.Equal) {
		if err := n.host.Network().Listen(circuit); err != nil {
			return nil, fmt.Errorf("listen at relays: %w", err)
		}
	}
	granted, err := client.Reserve(ctx, n.host, target)
	if err != nil {
		return nil, err
	}
	return fields{
		"expires":       granted.Expiration.Unix(),
		"addrs":         addrStrings(granted.Addrs),
		"limit_seconds": granted.LimitDuration.Seconds(),
		"limit_bytes":   granted.LimitData,
		"voucher":       granted.Voucher != nil,
	}, nil
}

// reachable says whether streams can be opened to a peer, over whatever
// connection there is.
func (n *node) reachable(p peer.ID) bool {
	state := n.host.Network().Connectedness(p)
	return state == network.Connected || state == network.Limited
}
