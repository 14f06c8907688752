package main

import (
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
)

// protocolStack lists what every host of this process speaks: the chosen
// transports and secure channels, yamux, identify and ping, nothing else.
// It turns off all that would dial, map ports, relay or measure by itself.
//
// yamux keeps go-libp2p's own settings; they already admit any number of
// incoming streams and leave the limit to the resource manager.
func protocolStack(options serveOptions) libp2p.Option {
	return libp2p.ChainOptions(
		transportChoice(options),
		securityChoice(options),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.UserAgent("go-libp2p/"+versionOf(libp2pModule)+" (interop peer)"),
		libp2p.Ping(true),
		libp2p.DisableMetrics(),
		addressChoice(options),
		relayChoice(options),
		autonatChoice(options),
		libp2p.UDPBlackHoleSuccessCounter(nil),
		libp2p.IPv6BlackHoleSuccessCounter(nil),
		libp2p.DialRanker(swarm.NoDelayDialRanker),
	)
}

// addressChoice lets a host that punches holes learn as what others see it.
func addressChoice(options serveOptions) libp2p.Option {
	if options.punching {
		return libp2p.EnableHolePunching()
	}
	return libp2p.DisableIdentifyAddressDiscovery()
}

func transportChoice(options serveOptions) libp2p.Option {
	var chosen []libp2p.Option
	for _, name := range options.transports {
		switch name {
		case "tcp":
			// Without port reuse a port that is taken is an error; with it,
			// two processes would silently share the port's connections.
			// A hole punch, however, has to leave from that port.
			if options.punching {
				chosen = append(chosen, libp2p.Transport(tcp.NewTCPTransport))
			} else {
				chosen = append(chosen, libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()))
			}
		case "ws":
			chosen = append(chosen, websocketChoice(options.tls))
		case "quic":
			chosen = append(chosen, libp2p.Transport(libp2pquic.NewTransport))
		}
	}
	return libp2p.ChainOptions(chosen...)
}

func websocketChoice(files tlsFiles) libp2p.Option {
	var chosen []any
	if files.listening != nil {
		chosen = append(chosen, websocket.WithTLSConfig(files.listening))
	}
	if files.dialling != nil {
		chosen = append(chosen, websocket.WithTLSClientConfig(files.dialling))
	}
	return libp2p.Transport(websocket.New, chosen...)
}

func securityChoice(options serveOptions) libp2p.Option {
	var chosen []libp2p.Option
	if options.security != "noise" {
		chosen = append(chosen, libp2p.Security(libp2ptls.ID, tlsConstructor(options.noEarlyMuxer)))
	}
	if options.security != "tls" {
		chosen = append(chosen, libp2p.Security(noise.ID, noiseConstructor(options.noEarlyMuxer)))
	}
	return libp2p.ChainOptions(chosen...)
}

// A secure channel that is told of no muxers offers none in its handshake,
// and the muxer is negotiated on the encrypted connection instead.

func noiseConstructor(noEarlyMuxer bool) any {
	if !noEarlyMuxer {
		return noise.New
	}
	return func(id protocol.ID, key crypto.PrivKey, _ []upgrader.StreamMuxer) (*noise.Transport, error) {
		return noise.New(id, key, nil)
	}
}

func tlsConstructor(noEarlyMuxer bool) any {
	if !noEarlyMuxer {
		return libp2ptls.New
	}
	return func(id protocol.ID, key crypto.PrivKey, _ []upgrader.StreamMuxer) (*libp2ptls.Transport, error) {
		return libp2ptls.New(id, key, nil)
	}
}

// autonatChoice turns on the servers of both versions. They dial nobody who
// asks from loopback; what is compared with them are their refusals.
func autonatChoice(options serveOptions) libp2p.Option {
	if !options.autonat {
		return libp2p.ChainOptions()
	}
	return libp2p.ChainOptions(
		libp2p.EnableNATService(),
		libp2p.EnableAutoNATv2(),
		// Version 1 is served only by who takes itself for public.
		libp2p.ForceReachabilityPublic(),
	)
}
