package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// node is this process on the mesh: its links, its worker, what it waits for.
type node struct {
	own          *identity
	worker       *worker
	out          *lines
	pingEvery    time.Duration
	pongWithin   time.Duration
	autoWork     bool
	allowed      map[string]bool
	mutex        sync.Mutex
	links        map[string]*link
	waiting      map[string]chan *envelope
	seen         map[string]bool
	undecodable  int
	duplicates   int
	shuttingDown bool
}

func (n *node) allows(peer publicIdentity) bool {
	return len(n.allowed) == 0 || n.allowed[peer.PublicKey]
}

// add makes a link one that commands find.
func (n *node) add(l *link) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.links[l.peer.ID] = l
}

// live serves an added link until it ends.
func (n *node) live(l *link) {
	direction := "outbound"
	if l.inbound {
		direction = "inbound"
	}
	n.out.event("connected", map[string]any{
		"peer": l.peer.ID, "name": l.peer.Name, "role": l.peer.Role, "direction": direction,
	})
	ended := make(chan struct{})
	go n.keepAlive(l, ended)
	err := n.read(l)
	close(ended)
	l.socket.Close()
	n.mutex.Lock()
	if n.links[l.peer.ID] == l {
		delete(n.links, l.peer.ID)
	}
	n.mutex.Unlock()
	n.out.event("disconnected", map[string]any{"peer": l.peer.ID, "error": err.Error()})
}

func (n *node) keepAlive(l *link, ended chan struct{}) {
	ticker := time.NewTicker(n.pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ticker.C:
			if message, err := newEnvelope("ping", n.own.ID, l.peer.ID, ping{time.Now().UnixMilli()}); err == nil {
				_ = l.send(message)
			}
		}
	}
}

func (n *node) read(l *link) error {
	for {
		if err := l.socket.SetReadDeadline(time.Now().Add(n.pingEvery + n.pongWithin)); err != nil {
			return err
		}
		_, data, err := l.socket.ReadMessage()
		if err != nil {
			return err
		}
		body, err := openMessage(l.password, data)
		var got envelope
		if err == nil {
			err = json.Unmarshal([]byte(body), &got)
		}
		if err != nil {
			n.count(&n.undecodable)
			continue
		}
		n.handle(l, &got)
	}
}

func (n *node) count(counter *int) {
	n.mutex.Lock()
	*counter++
	n.mutex.Unlock()
}

func (n *node) handle(l *link, got *envelope) {
	n.mutex.Lock()
	again := n.seen[got.ID]
	n.seen[got.ID] = true
	waiter := n.waiting[got.ReplyTo]
	n.mutex.Unlock()
	if again {
		n.count(&n.duplicates)
		return
	}
	if got.ReplyTo != "" {
		if waiter != nil {
			waiter <- got
		}
		return
	}
	n.out.event("message", map[string]any{"peer": l.peer.ID, "type": got.Type, "id": got.ID, "payload": got.Payload})
	if !n.autoWork {
		return
	}
	kind, payload, err := n.worker.answer(got, l.password)
	if err != nil {
		kind, payload = "error", failure{Code: operationFailed, Message: err.Error()}
	}
	if kind == "" {
		return
	}
	if answer, err := got.reply(kind, payload); err == nil {
		_ = l.send(answer)
	}
}

func (n *node) linkTo(peer string) (*link, error) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if peer == "" && len(n.links) == 1 {
		for _, only := range n.links {
			return only, nil
		}
	}
	if found := n.links[peer]; found != nil {
		return found, nil
	}
	return nil, fmt.Errorf("no connection to %q", peer)
}

// ask sends a message and waits for what answers it.
func (n *node) ask(ctx context.Context, l *link, message *envelope) (*envelope, error) {
	answers := make(chan *envelope, 4)
	n.mutex.Lock()
	n.waiting[message.ID] = answers
	n.mutex.Unlock()
	defer func() {
		n.mutex.Lock()
		delete(n.waiting, message.ID)
		n.mutex.Unlock()
	}()
	if err := l.send(message); err != nil {
		return nil, err
	}
	select {
	case got := <-answers:
		return got, nil
	case <-ctx.Done():
		return nil, errors.New("request timeout")
	}
}

// leave says goodbye on every link and ends it.
func (n *node) leave() {
	n.mutex.Lock()
	n.shuttingDown = true
	all := make([]*link, 0, len(n.links))
	for _, each := range n.links {
		all = append(all, each)
	}
	n.mutex.Unlock()
	for _, each := range all {
		if message, err := newEnvelope("disconnect", n.own.ID, each.peer.ID, disconnect{"server shutdown", 1004}); err == nil {
			_ = each.send(message)
		}
		each.socket.Close()
	}
}
