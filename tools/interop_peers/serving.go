package main

import (
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// servePeers installs the protocols that other peers can open here.
func servePeers(h host.Host, out *lineQueue) {
	serving := map[protocol.ID]func(network.Stream) error{
		echoProtocol:  serveEcho,
		countProtocol: serveCount,
		perfProtocol:  servePerf,
	}
	for name, serve := range serving {
		h.SetStreamHandler(name, closingAfter(serve, out))
	}
}

// closingAfter ends the stream after serve, with a reset and an event if it failed.
func closingAfter(serve func(network.Stream) error, out *lineQueue) network.StreamHandler {
	return func(stream network.Stream) {
		err := serve(stream)
		if err == nil {
			err = stream.Close()
		}
		if err != nil {
			_ = stream.Reset()
			out.send(fields{
				"event":    "stream_failed",
				"peer":     stream.Conn().RemotePeer().String(),
				"protocol": string(stream.Protocol()),
				"error":    err.Error(),
			})
		}
	}
}
