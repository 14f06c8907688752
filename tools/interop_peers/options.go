package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"
)

// defaultListen maps each transport to the address it listens on when the
// command line names none: loopback, any free port.
var defaultListen = map[string]string{
	"tcp":  "/ip4/127.0.0.1/tcp/0",
	"ws":   "/ip4/127.0.0.1/tcp/0/ws",
	"quic": "/ip4/127.0.0.1/udp/0/quic-v1",
}

type serveOptions struct {
	listen       []string
	transports   []string
	keyType      string
	security     string
	noEarlyMuxer bool
	unlimited    bool
	autonat      bool
	relay        string
	relayLimits  relayLimits
	punching     bool
	lifetime     time.Duration
	mdns         string
	tls          tlsFiles
}

func parseServeOptions(args []string) (serveOptions, error) {
	var options serveOptions
	var transports string
	flags := flag.NewFlagSet("peer serve", flag.ContinueOnError)
	flags.Func("listen", "multiaddr to listen on, repeatable (default one loopback address per transport)", func(addr string) error {
		options.listen = append(options.listen, addr)
		return nil
	})
	flags.StringVar(&transports, "transport", "tcp", "comma separated transports: tcp, ws, quic")
	flags.StringVar(&options.keyType, "key", "ed25519", "identity key: "+strings.Join(keyTypes, ", "))
	flags.StringVar(&options.security, "security", "noise", "secure channel: noise, tls, both")
	flags.BoolVar(&options.noEarlyMuxer, "no-early-muxer", false, "do not offer muxers inside the security handshake")
	flags.BoolVar(&options.unlimited, "unlimited", false, "no resource limits and no connection trimming")
	flags.BoolVar(&options.autonat, "autonat", false, "serve AutoNAT, version 1 and 2")
	flags.StringVar(&options.relay, "relay", "off", "part in circuit relay: "+strings.Join(relayParts, ", "))
	flags.BoolVar(&options.punching, "hole-punching", false, "punch holes (DCUtR); TCP dials then leave from the port listened on")
	flags.IntVar(&options.relayLimits.seconds, "relay-seconds", 120, "how long a circuit lasts")
	flags.Int64Var(&options.relayLimits.bytes, "relay-bytes", 128<<10, "what a circuit passes each way")
	flags.StringVar(&options.tls.certificate, "tls-certificate", "", "PEM file of the certificate chain for listening on wss")
	flags.StringVar(&options.tls.key, "tls-key", "", "PEM file of its private key")
	flags.StringVar(&options.tls.trust, "tls-trust", "", "PEM file of the authorities trusted when dialling wss, instead of the system's")
	flags.StringVar(&options.mdns, "mdns", "", "find peers by mDNS under this service name, such as _p2p._udp, and report each")
	flags.DurationVar(&options.lifetime, "timeout", 600*time.Second, "end the process after this long, 0 for never")
	if err := flags.Parse(args); err != nil {
		return options, err
	}
	if flags.NArg() > 0 {
		return options, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	options.transports = strings.Split(transports, ",")
	return options, options.complete()
}

// complete checks the choices and fills in the addresses to listen on.
func (o *serveOptions) complete() error {
	if !slices.Contains(keyTypes, o.keyType) {
		return fmt.Errorf("--key: unknown type %q, choose from %s", o.keyType, strings.Join(keyTypes, ", "))
	}
	if !slices.Contains([]string{"noise", "tls", "both"}, o.security) {
		return fmt.Errorf("--security: unknown choice %q, choose from noise, tls, both", o.security)
	}
	if err := checkRelayPart(o.relay); err != nil {
		return err
	}
	if o.punching && o.relay != "use" {
		return errors.New("--hole-punching: needs --relay use")
	}
	if o.lifetime < 0 {
		return errors.New("--timeout: must not be negative")
	}
	for i, name := range o.transports {
		if _, known := defaultListen[name]; !known {
			return fmt.Errorf("--transport: unknown transport %q, choose from tcp, ws, quic", name)
		}
		if slices.Contains(o.transports[:i], name) {
			return fmt.Errorf("--transport: %q is named twice", name)
		}
	}
	if err := o.tls.load(); err != nil {
		return err
	}
	if len(o.listen) == 0 {
		for _, name := range o.transports {
			o.listen = append(o.listen, defaultListen[name])
		}
	}
	return nil
}
