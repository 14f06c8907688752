// Program peer is a go-libp2p node, or a network of them, that a test or a
// benchmark drives with JSON lines: commands on standard input, answers and
// events on standard output.
package main

import (
	"fmt"
	"os"
)

const usage = `usage:
  peer serve [flags]       run a node until standard input ends (peer serve -h lists the flags)
  peer kad [flags]         run a Kademlia network, likewise
  peer kad-bench [flags]   measure a Kademlia network and print the figures
  peer pubsub-network [flags]
                           run a network of hosts with pubsub, likewise
  peer pubsub-bench {pub|sub|network} [flags]
                           measure pubsub and print the figures
  peer crdt [flags]        run a replica of go-ds-crdt, likewise
  peer crdt-bench [flags]  measure two replicas and print the figures
  peer bitswap [flags]     run a node with boxo's bitswap, likewise
  peer market [flags]      run a node of the Betar marketplace, likewise
  peer version             print the go-libp2p version`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no subcommand given\n%s", usage)
	}
	switch args[0] {
	case "serve":
		return serve(args[1:])
	case "kad":
		return serveKad(args[1:])
	case "kad-bench":
		return benchKad(args[1:])
	case "pubsub-network":
		return servePubsubNetwork(args[1:])
	case "pubsub-bench":
		return benchPubsub(args[1:])
	case "crdt":
		return serveCrdt(args[1:])
	case "crdt-bench":
		return benchCrdt(args[1:])
	case "bitswap":
		return serveBitswap(args[1:])
	case "market":
		return serveMarketNode(args[1:])
	case "version":
		fmt.Println("go-libp2p", versionOf(libp2pModule))
		return nil
	default:
		return fmt.Errorf("unknown subcommand %q\n%s", args[0], usage)
	}
}
