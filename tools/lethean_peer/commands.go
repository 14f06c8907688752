package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

type fields = map[string]any

// arguments are those of all commands; each takes what it needs.
type arguments struct {
	Address  string            `json:"addr"`
	Scheme   string            `json:"scheme"`
	Peer     string            `json:"peer"`
	Type     string            `json:"type"`
	Name     string            `json:"name"`
	Profile  string            `json:"profile"`
	Config   json.RawMessage   `json:"config"`
	Lines    int               `json:"lines"`
	Since    int64             `json:"since"`
	Files    map[string][]byte `json:"files"`
	Plain    bool              `json:"plain"`
	Message  string            `json:"message"`
	From     *string           `json:"from"`
	To       *string           `json:"to"`
	Payload  json.RawMessage   `json:"payload"`
	Data     []byte            `json:"data"`
	Text     bool              `json:"text"`
	Count    int               `json:"count"`
	NoAnswer bool              `json:"no_answer"`
	Checksum string            `json:"checksum"`
}

var commands = map[string]func(context.Context, *node, []byte) (fields, error){
	"connect":    with(connect),
	"disconnect": with(closeLink),
	"peers":      with(listPeers),
	"ping":       with(doPing),
	"stats":      with(doStats),
	"start":      with(doStart),
	"stop":       with(doStop),
	"logs":       with(doLogs),
	"deploy":     with(doDeploy),
	"send":       with(doSend),
	"raw":        with(doRaw),
}

func with(run func(context.Context, *node, arguments) (fields, error)) func(context.Context, *node, []byte) (fields, error) {
	return func(ctx context.Context, n *node, raw []byte) (fields, error) {
		var got arguments
		if err := json.Unmarshal(raw, &got); err != nil {
			return nil, err
		}
		return run(ctx, n, got)
	}
}

func connect(ctx context.Context, n *node, got arguments) (fields, error) {
	if got.Scheme == "" {
		got.Scheme = "ws"
	}
	made, err := dial(ctx, n.own, got.Scheme, got.Address)
	if err != nil {
		return nil, err
	}
	n.add(made)
	go n.live(made)
	return fields{"peer": made.peer.ID, "name": made.peer.Name, "role": made.peer.Role}, nil
}

func closeLink(_ context.Context, n *node, got arguments) (fields, error) {
	l, err := n.linkTo(got.Peer)
	if err != nil {
		return nil, err
	}
	if message, err := newEnvelope("disconnect", n.own.ID, l.peer.ID, disconnect{"normal", 1000}); err == nil {
		_ = l.send(message)
	}
	return nil, l.socket.Close()
}

func listPeers(_ context.Context, n *node, _ arguments) (fields, error) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	peers := []fields{}
	for id, each := range n.links {
		peers = append(peers, fields{"peer": id, "name": each.peer.Name, "inbound": each.inbound})
	}
	return fields{"peers": peers, "undecodable": n.undecodable, "duplicates": n.duplicates}, nil
}

// demand asks for something and reads the answer of the type that is expected.
func demand(ctx context.Context, n *node, peer, kind, expected string, payload, into any) error {
	l, err := n.linkTo(peer)
	if err != nil {
		return err
	}
	message, err := newEnvelope(kind, n.own.ID, l.peer.ID, payload)
	if err != nil {
		return err
	}
	answer, err := n.ask(ctx, l, message)
	if err != nil {
		return err
	}
	if answer.Type == "error" {
		var said failure
		if err := json.Unmarshal(answer.Payload, &said); err != nil {
			return err
		}
		return fmt.Errorf("remote error (%d): %s", said.Code, said.Message)
	}
	if answer.Type != expected {
		return fmt.Errorf("unexpected response type: expected %s, got %s", expected, answer.Type)
	}
	return json.Unmarshal(answer.Payload, into)
}

func doPing(ctx context.Context, n *node, got arguments) (fields, error) {
	var said pong
	begun := time.Now()
	err := demand(ctx, n, got.Peer, "ping", "pong", ping{begun.UnixMilli()}, &said)
	return fields{"rtt_ms": float64(time.Since(begun).Microseconds()) / 1000, "payload": said}, err
}

func doStats(ctx context.Context, n *node, got arguments) (fields, error) {
	var said stats
	err := demand(ctx, n, got.Peer, "get_stats", "stats", nil, &said)
	return fields{"payload": said}, err
}

func acked(said minerAck, err error) (fields, error) {
	if err == nil && !said.Success {
		err = errors.New(said.Error)
	}
	return fields{"miner": said.MinerName}, err
}

func doStart(ctx context.Context, n *node, got arguments) (fields, error) {
	var said minerAck
	err := demand(ctx, n, got.Peer, "start_miner", "miner_ack", startMiner{got.Type, got.Profile, got.Config}, &said)
	return acked(said, err)
}

func doStop(ctx context.Context, n *node, got arguments) (fields, error) {
	var said minerAck
	err := demand(ctx, n, got.Peer, "stop_miner", "miner_ack", stopMiner{got.Name}, &said)
	return acked(said, err)
}

func doLogs(ctx context.Context, n *node, got arguments) (fields, error) {
	var said logs
	err := demand(ctx, n, got.Peer, "get_logs", "logs", getLogs{got.Name, got.Lines, got.Since}, &said)
	return fields{"payload": said}, err
}

func doDeploy(ctx context.Context, n *node, got arguments) (fields, error) {
	l, err := n.linkTo(got.Peer)
	if err != nil {
		return nil, err
	}
	data := got.Data
	if data == nil && got.Plain {
		data = got.Config
	} else if data == nil {
		if data, err = makeBundle(l.password, got.Config, got.Files); err != nil {
			return nil, err
		}
	}
	if got.Checksum == "" {
		got.Checksum = checksum(data)
	}
	var said deployAck
	err = demand(ctx, n, got.Peer, "deploy", "deploy_ack", deploy{got.Type, data, got.Checksum, got.Name}, &said)
	if err == nil && !said.Success {
		err = errors.New(said.Error)
	}
	return fields{"name": said.Name}, err
}

// doSend sends any message, as often as told, each copy with the same id if one is given.
func doSend(ctx context.Context, n *node, got arguments) (fields, error) {
	l, err := n.linkTo(got.Peer)
	if err != nil {
		return nil, err
	}
	message, err := newEnvelope(got.Type, n.own.ID, l.peer.ID, nil)
	if err != nil {
		return nil, err
	}
	if got.Payload != nil {
		message.Payload = got.Payload
	}
	if got.From != nil {
		message.From = *got.From
	}
	if got.To != nil {
		message.To = *got.To
	}
	if got.Message != "" {
		message.ID = got.Message
	}
	for more := got.Count - 1; more > 0; more-- {
		if err := l.send(message); err != nil {
			return nil, err
		}
		if got.Message == "" {
			message.ID = randomID()
		}
	}
	if got.NoAnswer {
		return nil, l.send(message)
	}
	answer, err := n.ask(ctx, l, message)
	if err != nil {
		return nil, err
	}
	return fields{"answer": answer}, nil
}

// doRaw writes bytes as one WebSocket message.
func doRaw(_ context.Context, n *node, got arguments) (fields, error) {
	l, err := n.linkTo(got.Peer)
	if err != nil {
		return nil, err
	}
	kind := 2
	if got.Text {
		kind = 1
	}
	return nil, l.write(kind, got.Data)
}
