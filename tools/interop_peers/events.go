package main

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
)

const eventBacklog = 256

// reportEvents sends connections and identifications of the host to out.
func (n *node) reportEvents(h host.Host, out *lineQueue) error {
	subscription, err := h.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted),
		new(event.EvtPeerIdentificationFailed),
	}, eventbus.BufSize(eventBacklog))
	if err != nil {
		return fmt.Errorf("subscribe to identifications: %w", err)
	}
	go n.reportIdentifications(subscription, out)
	h.Network().Notify(&network.NotifyBundle{
		ConnectedF:    func(_ network.Network, c network.Conn) { out.send(connectionEvent("connected", c)) },
		DisconnectedF: func(_ network.Network, c network.Conn) { out.send(connectionEvent("disconnected", c)) },
	})
	return nil
}

func connectionEvent(name string, c network.Conn) fields {
	return fields{
		"event":     name,
		"peer":      c.RemotePeer().String(),
		"addr":      c.RemoteMultiaddr().String(),
		"direction": directionName(c),
	}
}

func directionName(c network.Conn) string {
	if c.Stat().Direction == network.DirInbound {
		return "inbound"
	}
	return "outbound"
}

func (n *node) reportIdentifications(subscription event.Subscription, out *lineQueue) {
	for happened := range subscription.Out() {
		switch e := happened.(type) {
		case event.EvtPeerIdentificationCompleted:
			n.identified.remember(e)
			out.send(identifiedEvent(e))
		case event.EvtPeerIdentificationFailed:
			out.send(fields{"event": "identify_failed", "peer": e.Peer.String(), "error": e.Reason.Error()})
		}
	}
}

func identifiedEvent(e event.EvtPeerIdentificationCompleted) fields {
	observed := ""
	if e.ObservedAddr != nil {
		observed = e.ObservedAddr.String()
	}
	return fields{
		"event":            "identified",
		"peer":             e.Peer.String(),
		"protocols":        protocol.ConvertToStrings(e.Protocols),
		"agent":            e.AgentVersion,
		"protocol_version": e.ProtocolVersion,
		"addrs":            addrStrings(e.ListenAddrs),
		"observed_addr":    observed,
		"signed_record":    e.SignedPeerRecord != nil,
	}
}
