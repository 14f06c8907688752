// Current is a go-libp2p node of the newest release for the conformance harness: it listens on TCP and QUIC, serves what
// its flags name, and does nothing by itself. It ends with its standard input.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/multiformats/go-multiaddr"
)

type settings struct {
	ip       string
	topic    string
	kad      bool
	relay    bool
	circuits bool
	autonat  bool
	timeout  time.Duration
}

// ready is the one line on standard output.
type ready struct {
	Event   string   `json:"event"`
	Peer    string   `json:"peer"`
	Addrs   []string `json:"addrs"`
	Version string   `json:"version"`
}

func main() {
	var asked settings
	flag.StringVar(&asked.ip, "ip", "127.0.0.1", "IPv4 address to listen on, on free ports")
	flag.StringVar(&asked.topic, "topic", "", "pubsub topic to take part in; without one there is no pubsub")
	flag.BoolVar(&asked.kad, "kad", false, "serve Kademlia under /ipfs")
	flag.BoolVar(&asked.relay, "relay", false, "serve circuit relay v2")
	flag.BoolVar(&asked.circuits, "circuits", false, "be reached through relays, and punch holes")
	flag.BoolVar(&asked.autonat, "autonat", false, "serve AutoNAT, both versions")
	flag.DurationVar(&asked.timeout, "timeout", 10*time.Minute, "end by itself after this")
	flag.Parse()
	if err := run(asked); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(asked settings) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	node, err := libp2p.New(options(asked)...)
	if err != nil {
		return err
	}
	defer node.Close()
	if asked.kad {
		if err := serveKademlia(ctx, node); err != nil {
			return err
		}
	}
	if asked.topic != "" {
		if err := takePart(ctx, node, asked.topic); err != nil {
			return err
		}
	}
	line := ready{Event: "ready", Peer: node.ID().String(), Version: version()}
	for _, each := range node.Addrs() {
		line.Addrs = append(line.Addrs, each.String()+"/p2p/"+node.ID().String())
	}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		return err
	}
	time.AfterFunc(asked.timeout, func() { os.Exit(1) })
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func options(asked settings) []libp2p.Option {
	chosen := []libp2p.Option{
		libp2p.ListenAddrStrings("/ip4/"+asked.ip+"/tcp/0", "/ip4/"+asked.ip+"/udp/0/quic-v1"),
		libp2p.DisableMetrics(),
		libp2p.UserAgent("go-libp2p/" + version()),
	}
	if asked.circuits {
		chosen = append(chosen, libp2p.EnableRelay(), libp2p.EnableHolePunching())
	} else {
		chosen = append(chosen, libp2p.DisableRelay())
	}
	if asked.relay {
		chosen = append(chosen, libp2p.EnableRelayService(), libp2p.ForceReachabilityPublic())
	}
	if asked.autonat {
		chosen = append(chosen, libp2p.EnableNATService(), libp2p.EnableAutoNATv2())
	}
	return chosen
}

func serveKademlia(ctx context.Context, node host.Host) error {
	all := func(addrs []multiaddr.Multiaddr) []multiaddr.Multiaddr { return addrs }
	_, err := dht.New(ctx, node, dht.Mode(dht.ModeServer), dht.AddressFilter(all))
	return err
}

func takePart(ctx context.Context, node host.Host, name string) error {
	router, err := pubsub.NewGossipSub(ctx, node)
	if err != nil {
		return err
	}
	topic, err := router.Join(name)
	if err != nil {
		return err
	}
	subscription, err := topic.Subscribe()
	if err != nil {
		return err
	}
	go func() {
		for {
			if _, err := subscription.Next(ctx); err != nil {
				return
			}
		}
	}()
	return nil
}

// version of go-libp2p that this binary was linked with.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, each := range info.Deps {
		if each.Path == "github.com/libp2p/go-libp2p" {
			return each.Version
		}
	}
	return "unknown"
}
