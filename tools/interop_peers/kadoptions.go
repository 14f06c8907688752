package main

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"
)

// kadOptions describe a Kademlia network.
type kadOptions struct {
	nodes    int
	prefix   string
	ips      []string
	lifetime time.Duration
}

func (o *kadOptions) addTo(flags *flag.FlagSet, nodes int, prefix string) {
	flags.IntVar(&o.nodes, "nodes", nodes, "how many nodes there are")
	flags.StringVar(&o.prefix, "prefix", prefix, "what stands before /kad/1.0.0 in the protocol id")
	o.ips = []string{"127.0.0.1"}
	flags.Func("ip", "comma separated IPv4 addresses of this machine that the nodes listen on in turn, at free ports (default 127.0.0.1)", func(list string) error {
		o.ips = strings.Split(list, ",")
		return nil
	})
	flags.DurationVar(&o.lifetime, "timeout", 600*time.Second, "end the process after this long, 0 for never")
}

func parseKadOptions(args []string) (kadOptions, error) {
	var options kadOptions
	flags := flag.NewFlagSet("peer kad", flag.ContinueOnError)
	options.addTo(flags, 20, "/ipfs")
	if err := flags.Parse(args); err != nil {
		return options, err
	}
	return options, options.check(flags)
}

func (o *kadOptions) check(flags *flag.FlagSet) error {
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.nodes < 1 {
		return errors.New("--nodes: must be positive")
	}
	if !strings.HasPrefix(o.prefix, "/") || strings.HasSuffix(o.prefix, "/") {
		return fmt.Errorf("--prefix: %q must begin with a slash and not end with one", o.prefix)
	}
	if o.lifetime < 0 {
		return errors.New("--timeout: must not be negative")
	}
	return nil
}
