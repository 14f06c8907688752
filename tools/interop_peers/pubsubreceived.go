package main

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
)

// receivedMessage is a message as a subscription delivered it.
type receivedMessage struct {
	from   peer.ID
	seqno  []byte
	source peer.ID
	data   []byte
	digest [sha256.Size]byte
}

// identity tells messages apart by author and number, as their default id
// does, and those that have neither by what they say.
func (m *receivedMessage) identity() string {
	if m.from == "" && len(m.seqno) == 0 {
		return string(m.digest[:])
	}
	return string(m.from) + string(m.seqno)
}

func (m *receivedMessage) describe(list string) fields {
	described := fields{
		"from":     m.from.String(),
		"seqno":    hex.EncodeToString(m.seqno),
		"received": m.source.String(),
	}
	if list == "data" {
		described["data"] = m.data
	} else {
		described["sha256"] = hex.EncodeToString(m.digest[:])
	}
	return described
}

// receivedMessages records what came in one topic. The messages a host
// publishes itself are delivered to it too, and are counted apart.
type receivedMessages struct {
	mutex      sync.Mutex
	keep       bool
	own        int
	deliveries int
	bytes      int64
	times      map[string]int
	bySender   map[peer.ID]int
	kept       []receivedMessage
}

func newReceivedMessages(keep bool) *receivedMessages {
	return &receivedMessages{keep: keep, times: map[string]int{}, bySender: map[peer.ID]int{}}
}

// record returns the message, or nothing if the host sent it itself.
func (r *receivedMessages) record(self peer.ID, message *pubsub.Message) *receivedMessage {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if message.ReceivedFrom == self {
		r.own++
		return nil
	}
	data := message.GetData()
	one := receivedMessage{
		from:   message.GetFrom(),
		seqno:  message.GetSeqno(),
		source: message.ReceivedFrom,
		data:   data,
		digest: sha256.Sum256(data),
	}
	r.deliveries++
	r.bytes += int64(len(data))
	r.times[one.identity()]++
	r.bySender[one.from]++
	if r.keep {
		r.kept = append(r.kept, one)
	}
	return &one
}

func (r *receivedMessages) distinct() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return len(r.times)
}

// report counts; list is "", "data" or "sha256".
func (r *receivedMessages) report(list string) fields {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	bySender := fields{}
	for sender, count := range r.bySender {
		bySender[sender.String()] = count
	}
	report := fields{
		"own":        r.own,
		"deliveries": r.deliveries,
		"distinct":   len(r.times),
		"duplicates": r.deliveries - len(r.times),
		"bytes":      r.bytes,
		"senders":    bySender,
	}
	if list != "" {
		messages := []fields{}
		for _, one := range r.kept {
			messages = append(messages, one.describe(list))
		}
		report["messages"] = messages
	}
	return report
}
