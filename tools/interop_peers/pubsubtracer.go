package main

import (
	"cmp"
	"slices"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// rpcCounts is what went over the streams of one direction.
type rpcCounts struct {
	RPCs          int64 `json:"rpcs"`
	Messages      int64 `json:"messages"`
	Subscriptions int64 `json:"subscriptions"`
	Grafts        int64 `json:"grafts"`
	Prunes        int64 `json:"prunes"`
	Exchanged     int64 `json:"exchanged_peers"`
	IHaveIDs      int64 `json:"ihave_ids"`
	IWantIDs      int64 `json:"iwant_ids"`
	IDontWantIDs  int64 `json:"idontwant_ids"`
}

func (c *rpcCounts) add(rpc *pubsub.RPC) {
	c.RPCs++
	c.Messages += int64(len(rpc.GetPublish()))
	c.Subscriptions += int64(len(rpc.GetSubscriptions()))
	control := rpc.GetControl()
	if control == nil {
		return
	}
	c.Grafts += int64(len(control.GetGraft()))
	c.Prunes += int64(len(control.GetPrune()))
	for _, prune := range control.GetPrune() {
		c.Exchanged += int64(len(prune.GetPeers()))
	}
	for _, told := range control.GetIhave() {
		c.IHaveIDs += int64(len(told.GetMessageIDs()))
	}
	for _, asked := range control.GetIwant() {
		c.IWantIDs += int64(len(asked.GetMessageIDs()))
	}
	for _, declined := range control.GetIdontwant() {
		c.IDontWantIDs += int64(len(declined.GetMessageIDs()))
	}
}

// pubsubTracer counts what the router does and follows who is in its meshes.
// It has the methods of pubsub.RawTracer as they are called in v0.15 and, for
// peers that come and go, in v0.17.
type pubsubTracer struct {
	mutex         sync.Mutex
	peers         map[peer.ID]protocol.ID
	meshes        map[string]map[peer.ID]bool
	grafted       int64
	pruned        int64
	sent          rpcCounts
	received      rpcCounts
	dropped       rpcCounts
	validated     int64
	delivered     int64
	duplicates    int64
	undeliverable int64
	throttled     int64
	rejected      map[string]int64
}

func newPubsubTracer() *pubsubTracer {
	return &pubsubTracer{
		peers:    map[peer.ID]protocol.ID{},
		meshes:   map[string]map[peer.ID]bool{},
		rejected: map[string]int64{},
	}
}

// note changes the figures one at a time.
func (t *pubsubTracer) note(change func()) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	change()
}

func (t *pubsubTracer) AddPeer(p peer.ID, name protocol.ID) {
	t.note(func() { t.peers[p] = name })
}

func (t *pubsubTracer) OnNewOutboundStream(p peer.ID, name protocol.ID) { t.AddPeer(p, name) }

// RemovePeer also takes the peer out of the meshes: the router tells of no
// pruning then.
func (t *pubsubTracer) RemovePeer(p peer.ID) {
	t.note(func() {
		delete(t.peers, p)
		for _, mesh := range t.meshes {
			delete(mesh, p)
		}
	})
}

func (t *pubsubTracer) OnClosedOutboundStream(p peer.ID) { t.RemovePeer(p) }

func (t *pubsubTracer) Join(string) {}

func (t *pubsubTracer) Leave(topic string) { t.note(func() { delete(t.meshes, topic) }) }

func (t *pubsubTracer) Graft(p peer.ID, topic string) {
	t.note(func() {
		if t.meshes[topic] == nil {
			t.meshes[topic] = map[peer.ID]bool{}
		}
		t.meshes[topic][p] = true
		t.grafted++
	})
}

func (t *pubsubTracer) Prune(p peer.ID, topic string) {
	t.note(func() {
		delete(t.meshes[topic], p)
		t.pruned++
	})
}

func (t *pubsubTracer) ValidateMessage(*pubsub.Message)      { t.note(func() { t.validated++ }) }
func (t *pubsubTracer) DeliverMessage(*pubsub.Message)       { t.note(func() { t.delivered++ }) }
func (t *pubsubTracer) DuplicateMessage(*pubsub.Message)     { t.note(func() { t.duplicates++ }) }
func (t *pubsubTracer) UndeliverableMessage(*pubsub.Message) { t.note(func() { t.undeliverable++ }) }
func (t *pubsubTracer) ThrottlePeer(peer.ID)                 { t.note(func() { t.throttled++ }) }

func (t *pubsubTracer) RejectMessage(_ *pubsub.Message, reason string) {
	t.note(func() { t.rejected[reason]++ })
}

func (t *pubsubTracer) RecvRPC(rpc *pubsub.RPC)            { t.note(func() { t.received.add(rpc) }) }
func (t *pubsubTracer) SendRPC(rpc *pubsub.RPC, _ peer.ID) { t.note(func() { t.sent.add(rpc) }) }
func (t *pubsubTracer) DropRPC(rpc *pubsub.RPC, _ peer.ID) { t.note(func() { t.dropped.add(rpc) }) }

// counters are all figures, none of which ever shrinks.
func (t *pubsubTracer) counters() fields {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	rejected := fields{}
	for reason, count := range t.rejected {
		rejected[reason] = count
	}
	return fields{
		"sent":          t.sent,
		"received":      t.received,
		"dropped":       t.dropped,
		"grafted":       t.grafted,
		"pruned":        t.pruned,
		"validated":     t.validated,
		"delivered":     t.delivered,
		"duplicates":    t.duplicates,
		"undeliverable": t.undeliverable,
		"throttled":     t.throttled,
		"rejected":      rejected,
	}
}

// losses are the messages that did not get through for want of room.
func (t *pubsubTracer) losses() map[string]int64 {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return map[string]int64{
		"dropped":       t.dropped.Messages,
		"queue_full":    t.rejected[pubsub.RejectValidationQueueFull],
		"throttled":     t.rejected[pubsub.RejectValidationThrottled],
		"undeliverable": t.undeliverable,
	}
}

// repeats are the copies of messages that had come already.
func (t *pubsubTracer) repeats() int64 {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.duplicates
}

// mesh lists the neighbours in a topic.
func (t *pubsubTracer) mesh(topic string) []peer.ID {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	neighbours := []peer.ID{}
	for p := range t.meshes[topic] {
		neighbours = append(neighbours, p)
	}
	return neighbours
}

// describe names peers with the protocol that messages to them go by.
func (t *pubsubTracer) describe(peers []peer.ID) []fields {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	slices.SortFunc(peers, func(a, b peer.ID) int { return cmp.Compare(a.String(), b.String()) })
	described := []fields{}
	for _, p := range peers {
		described = append(described, fields{"peer": p.String(), "protocol": string(t.peers[p])})
	}
	return described
}
