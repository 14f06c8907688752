package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

const mostLogLines = 10000

// miner is a pretended process with fixed figures.
type miner struct {
	name, kind string
	config     json.RawMessage
	lines      []string
}

// worker answers commands; nothing is ever started.
type worker struct {
	own     *identity
	since   time.Time
	tell    func(string, map[string]any)
	mutex   sync.Mutex
	miners  []*miner
	profile map[string]json.RawMessage
	made    int
}

func newWorker(own *identity, tell func(string, map[string]any)) *worker {
	return &worker{own: own, since: time.Now(), tell: tell, profile: map[string]json.RawMessage{}}
}

// answer gives type and payload of the reply; an empty type is none.
func (w *worker) answer(asked *envelope, password string) (string, any, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	switch asked.Type {
	case "ping":
		var got ping
		if err := json.Unmarshal(asked.Payload, &got); err != nil {
			return "", nil, err
		}
		return "pong", pong{got.SentAt, time.Now().UnixMilli()}, nil
	case "get_stats":
		return "stats", w.figures(), nil
	case "start_miner":
		return w.start(asked.Payload)
	case "stop_miner":
		return w.stop(asked.Payload)
	case "get_logs":
		return w.history(asked.Payload)
	case "deploy":
		return w.take(asked.Payload, password)
	}
	return "", nil, nil
}

func (w *worker) figures() stats {
	out := stats{w.own.ID, w.own.Name, []minerStats{}, int64(time.Since(w.since).Seconds())}
	for _, each := range w.miners {
		out.Miners = append(out.Miners, minerStats{
			Name: each.name, Type: each.kind, Hashrate: 1234.5, Shares: 10, Rejected: 1,
			Uptime: 3600, Pool: "pool:3333", Algorithm: "rx/0", CPUThreads: 2,
		})
	}
	return out
}

func (w *worker) start(payload json.RawMessage) (string, any, error) {
	var got startMiner
	if err := json.Unmarshal(payload, &got); err != nil {
		return "", nil, err
	}
	if got.MinerType == "" {
		return "", nil, errors.New("miner type is required")
	}
	config := got.Config
	if config == nil {
		found, known := w.profile[got.ProfileID]
		if !known {
			return "", nil, fmt.Errorf("profile not found: %s", got.ProfileID)
		}
		config = found
	}
	if got.MinerType == "fail" {
		return "miner_ack", minerAck{Error: "cannot start"}, nil
	}
	w.made++
	made := &miner{name: fmt.Sprintf("%s-%d", got.MinerType, w.made), kind: got.MinerType, config: config}
	for number := 1; number <= 3; number++ {
		made.lines = append(made.lines, fmt.Sprintf("%s line %d", made.name, number))
	}
	w.miners = append(w.miners, made)
	w.tell("started", map[string]any{"name": made.name, "config": config})
	return "miner_ack", minerAck{Success: true, MinerName: made.name}, nil
}

func (w *worker) stop(payload json.RawMessage) (string, any, error) {
	var got stopMiner
	if err := json.Unmarshal(payload, &got); err != nil {
		return "", nil, err
	}
	for i, each := range w.miners {
		if each.name == got.MinerName {
			w.miners = append(w.miners[:i], w.miners[i+1:]...)
			w.tell("stopped", map[string]any{"name": each.name})
			return "miner_ack", minerAck{Success: true, MinerName: each.name}, nil
		}
	}
	return "miner_ack", minerAck{MinerName: got.MinerName, Error: fmt.Sprintf("miner %s not found", got.MinerName)}, nil
}

func (w *worker) history(payload json.RawMessage) (string, any, error) {
	var got getLogs
	if err := json.Unmarshal(payload, &got); err != nil {
		return "", nil, err
	}
	if got.Lines <= 0 || got.Lines > mostLogLines {
		got.Lines = mostLogLines
	}
	for _, each := range w.miners {
		if each.name != got.MinerName {
			continue
		}
		var lines []string
		if got.Since == 0 {
			lines = each.lines[max(0, len(each.lines)-got.Lines):]
		}
		return "logs", logs{each.name, lines, len(lines) >= got.Lines}, nil
	}
	return "", nil, fmt.Errorf("miner not found: %s", got.MinerName)
}

func (w *worker) take(payload json.RawMessage, password string) (string, any, error) {
	var got deploy
	if err := json.Unmarshal(payload, &got); err != nil {
		return "", nil, err
	}
	if got.Type != "profile" && got.Type != "miner" && got.Type != "full" {
		return "", nil, fmt.Errorf("unknown bundle type: %s", got.Type)
	}
	if checksum(got.Data) != got.Checksum {
		return "", nil, errors.New("checksum mismatch - bundle may be corrupted")
	}
	told := map[string]any{"type": got.Type, "name": got.Name, "sealed": true}
	config, files := got.Data, map[string][]byte{}
	if got.Type == "profile" && len(got.Data) > 0 && (got.Data[0] == '{' || got.Data[0] == '[') {
		told["sealed"] = false
	} else {
		var err error
		if config, files, err = openBundle(password, got.Data); err != nil {
			return "", nil, err
		}
	}
	if got.Type == "profile" {
		if !json.Valid(config) {
			return "", nil, errors.New("invalid profile data JSON")
		}
		w.profile[got.Name] = config
	}
	told["config"] = string(config)
	hashes := map[string]string{}
	for name, data := range files {
		hashes[name] = checksum(data)
	}
	told["files"] = hashes
	w.tell("deployed", told)
	return "deploy_ack", deployAck{Success: true, Name: got.Name}, nil
}
