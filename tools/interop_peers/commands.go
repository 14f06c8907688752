package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	shortLimit = 10 * time.Second
	dialLimit  = 30 * time.Second
	bulkLimit  = 300 * time.Second
)

var errPeerMissing = errors.New("argument \"peer\" is missing")

// command is one thing a target can be told to do, and for how long it may
// try unless the request says otherwise.
type command[T any] struct {
	limit time.Duration
	run   func(ctx context.Context, target T, rawArgs []byte) (fields, error)
}

// commands maps the names of all that a target can be told to do.
type commands[T any] map[string]command[T]

var nodeCommands = withPubsub(commands[*node]{
	"connect":     {dialLimit, withArgs(connectArgs{}, connect)},
	"close":       {shortLimit, withArgs(closeArgs{}, closePeer)},
	"peers":       {shortLimit, withArgs(noArgs{}, listPeers)},
	"identify":    {shortLimit, withArgs(identifyArgs{}, identify)},
	"reserve":     {dialLimit, withArgs(reserveArgs{}, reserve)},
	"ping":        {bulkLimit, withArgs(pingArgs{Count: 1}, ping)},
	"open":        {shortLimit, withArgs(openArgs{}, openStream)},
	"echo":        {bulkLimit, withArgs(echoArgs{Bytes: 1 << 20, Chunk: 64 << 10}, echo)},
	"count":       {bulkLimit, withArgs(countArgs{Bytes: 1 << 20, Chunk: 64 << 10}, count)},
	"perf":        {bulkLimit, withArgs(perfArgs{Chunk: perfBufferSize}, perf)},
	"streams":     {bulkLimit, withArgs(streamsArgs{Count: 1, Concurrency: 1}, openManyStreams)},
	"connections": {bulkLimit, withArgs(connectionsArgs{Count: 1, Concurrency: 1}, openManyConnections)},
	"hold":        {bulkLimit, withArgs(holdArgs{Count: 1, Concurrency: 8}, hold)},
	"release":     {dialLimit, withArgs(noArgs{}, release)},
	"stats":       {shortLimit, withArgs(noArgs{}, stats)},
	"settle":      {shortLimit, withArgs(noArgs{}, settle)},
})

type noArgs struct{}

// withArgs decodes the arguments over their defaults; an argument that the
// command does not know is an error, so that a misspelling cannot pass.
func withArgs[T, A any](defaults A, run func(context.Context, T, A) (fields, error)) func(context.Context, T, []byte) (fields, error) {
	return func(ctx context.Context, target T, rawArgs []byte) (fields, error) {
		args := defaults
		decoder := json.NewDecoder(bytes.NewReader(rawArgs))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&args); err != nil {
			return nil, fmt.Errorf("read arguments: %w", err)
		}
		return run(ctx, target, args)
	}
}

// answerFrom reads requests until the input ends and says why it ended. Each
// request runs on its own, so answers come in order of completion.
func (known commands[T]) answerFrom(ctx context.Context, target T, in io.Reader, out *lineQueue) error {
	reader := bufio.NewReader(in)
	for {
		line, err := reader.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			go func() { out.send(known.answer(ctx, target, line)) }()
		}
		if err != nil {
			return inputError(err)
		}
	}
}

// request is a command line taken apart; rawArgs is what remains of it.
type request struct {
	id      json.RawMessage
	name    string
	limit   time.Duration
	rawArgs []byte
}

func parseRequest(line []byte) (request, error) {
	var parsed request
	var object map[string]json.RawMessage
	if err := json.Unmarshal(line, &object); err != nil {
		return parsed, fmt.Errorf("read request: %w", err)
	}
	parsed.id = object["id"]
	if err := json.Unmarshal(object["cmd"], &parsed.name); err != nil {
		return parsed, fmt.Errorf("read request: \"cmd\" must be the name of a command")
	}
	if limit, given := object["timeout_ms"]; given {
		var milliseconds int64
		if err := json.Unmarshal(limit, &milliseconds); err != nil || milliseconds <= 0 {
			return parsed, errors.New("read request: \"timeout_ms\" must be a positive number")
		}
		parsed.limit = time.Duration(milliseconds) * time.Millisecond
	}
	delete(object, "id")
	delete(object, "cmd")
	delete(object, "timeout_ms")
	var err error
	parsed.rawArgs, err = json.Marshal(object)
	return parsed, err
}

// answer always yields exactly one line, whatever the request was.
func (known commands[T]) answer(ctx context.Context, target T, line []byte) fields {
	parsed, err := parseRequest(line)
	var result fields
	if err == nil {
		result, err = known.execute(ctx, target, parsed)
	}
	if result == nil {
		result = fields{}
	}
	result["id"] = parsed.id
	result["ok"] = err == nil
	if err != nil {
		result["error"] = err.Error()
	}
	return result
}

func (known commands[T]) execute(ctx context.Context, target T, parsed request) (result fields, err error) {
	chosen, exists := known[parsed.name]
	if !exists {
		return nil, fmt.Errorf("unknown command %q", parsed.name)
	}
	limit := chosen.limit
	if parsed.limit > 0 {
		limit = parsed.limit
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("time limit of %s is over", limit))
	defer cancel()
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("defect in command %q: %v", parsed.name, panicked)
		}
	}()
	return chosen.run(ctx, target, parsed.rawArgs)
}
