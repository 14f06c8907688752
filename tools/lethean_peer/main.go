// Program lethean_peer is a node of the Lethean mesh, written from the
// specification alone, that tests drive with JSON lines: commands on standard
// input, answers and events on standard output.
package main

import (
	"fmt"
	"os"
)

const usage = `usage:
  lethean_peer serve [flags]   run a node until standard input ends (serve -h lists the flags)
  lethean_peer seal|open       one SMSG container, see the README
  lethean_peer version         print the protocol version`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lethean_peer:", err)
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
	case "seal":
		return sealOnce(os.Stdin, os.Stdout)
	case "open":
		return openOnce(os.Stdin, os.Stdout)
	case "version":
		fmt.Println("lethean mesh", protocolVersion)
		return nil
	default:
		return fmt.Errorf("unknown subcommand %q\n%s", args[0], usage)
	}
}
