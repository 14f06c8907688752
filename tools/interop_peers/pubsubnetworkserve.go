package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// pubsubNetworkOptions describe a network of hosts with pubsub.
type pubsubNetworkOptions struct {
	nodes    int
	topics   []string
	versions []string
	keep     bool
	settings pubsubSettings
	lifetime time.Duration
}

func (o *pubsubNetworkOptions) addTo(flags *flag.FlagSet) {
	o.settings = defaultPubsubSettings()
	flags.Func("versions", "comma separated versions of GossipSub that the hosts have in turn: 1.0, 1.1, 1.2, 1.3 (default that of the settings)", func(list string) error {
		o.versions = strings.Split(list, ",")
		return nil
	})
	addSettingsTo(flags, &o.settings)
	flags.DurationVar(&o.lifetime, "timeout", 600*time.Second, "end the process after this long, 0 for never")
}

func (o *pubsubNetworkOptions) addNodesTo(flags *flag.FlagSet) {
	flags.IntVar(&o.nodes, "nodes", 20, "how many hosts there are")
}

func addSettingsTo(flags *flag.FlagSet, settings *pubsubSettings) {
	flags.Func("settings", "the arguments of pubsub_start as a JSON object", func(text string) error {
		return parsePubsubSettings(text, settings)
	})
}

// complete checks the choices and fills in the version of all hosts.
func (o *pubsubNetworkOptions) complete(flags *flag.FlagSet) error {
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.nodes < 1 {
		return errors.New("--nodes: must be positive")
	}
	if o.lifetime < 0 {
		return errors.New("--timeout: must not be negative")
	}
	if o.versions == nil {
		o.versions = []string{o.settings.Version}
	}
	return nil
}

func parsePubsubNetworkOptions(args []string) (pubsubNetworkOptions, error) {
	options := pubsubNetworkOptions{keep: true}
	flags := flag.NewFlagSet("peer pubsub-network", flag.ContinueOnError)
	options.addTo(flags)
	options.addNodesTo(flags)
	flags.Func("topic", "topic that all hosts subscribe to from the start, repeatable", func(topic string) error {
		options.topics = append(options.topics, topic)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return options, err
	}
	return options, options.complete(flags)
}

// servePubsubNetwork runs a network for as long as `serve` runs a node.
func servePubsubNetwork(args []string) error {
	options, err := parsePubsubNetworkOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read flags: %w", err)
	}
	out := newLineQueue(os.Stdout)
	defer out.close(lastLinesPatience)
	network, err := startPubsubNetwork(options, out)
	if err != nil {
		return err
	}
	defer closeInTime(network)
	ready, err := network.ready()
	if err != nil {
		return err
	}
	ctx, end := processContext(options.lifetime)
	defer end(nil)
	out.send(ready)
	go func() { end(pubsubNetworkCommands.answerFrom(ctx, network, os.Stdin, out)) }()
	<-ctx.Done()
	return causeOfFailure(ctx)
}

// ready is the first line of output: who and where the hosts are.
func (n *pubsubNetwork) ready() (fields, error) {
	_, hosts := n.running()
	described := []fields{}
	for i, p := range hosts {
		one, err := describeHost(p.host)
		if err != nil {
			return nil, err
		}
		one["version"] = n.members[i].settings.Version
		described = append(described, one)
	}
	return fields{"event": "ready", "nodes": described, "libp2p": versionOf(libp2pModule), "pubsub": versionOf(pubsubModule)}, nil
}
