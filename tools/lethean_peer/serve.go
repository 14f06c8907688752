package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// lines writes JSON objects, one a line, from any goroutine.
type lines struct {
	mutex sync.Mutex
	to    *bufio.Writer
}

func (l *lines) send(object map[string]any) {
	text, err := compact(object)
	if err != nil {
		text = []byte(fmt.Sprintf(`{"event":"unprintable","error":%q}`, err.Error()))
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	_, _ = l.to.Write(append(text, '\n'))
	_ = l.to.Flush()
}

func (l *lines) event(name string, members map[string]any) {
	members["event"] = name
	l.send(members)
}

type listFlag []string

func (l *listFlag) String() string         { return fmt.Sprint(*l) }
func (l *listFlag) Set(value string) error { *l = append(*l, value); return nil }

func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "HOST:PORT to listen on")
	name := flags.String("name", "go-peer", "name of the node")
	role := flags.String("role", "dual", "role it claims")
	key := flags.String("key", "", "private key in hexadecimal; a fresh one without")
	silent := flags.Bool("silent", false, "answer no requests")
	pingEvery := flags.Duration("ping", 30*time.Second, "time between pings")
	pongWithin := flags.Duration("pong", 10*time.Second, "silence that is borne beyond that")
	timeout := flags.Duration("timeout", 600*time.Second, "the process ends by itself after this; 0 for never")
	var allowed listFlag
	flags.Var(&allowed, "allow", "public key that may connect, repeatable; without, all may")
	if err := flags.Parse(args); err != nil {
		return err
	}
	own, err := newIdentity(*name, *role, *key)
	if err != nil {
		return err
	}
	out := &lines{to: bufio.NewWriter(os.Stdout)}
	n := &node{
		own: own, worker: newWorker(own, out.event), out: out, pingEvery: *pingEvery, pongWithin: *pongWithin,
		autoWork: !*silent, allowed: map[string]bool{}, links: map[string]*link{},
		waiting: map[string]chan *envelope{}, seen: map[string]bool{},
	}
	for _, each := range allowed {
		n.allowed[each] = true
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	if *timeout > 0 {
		time.AfterFunc(*timeout, func() { os.Exit(1) })
	}
	routes := http.NewServeMux()
	routes.HandleFunc("/ws", n.upgrade)
	go func() { _ = http.Serve(listener, routes) }()
	out.event("ready", map[string]any{
		"peer": own.ID, "addrs": []string{listener.Addr().String()}, "public_key": own.PublicKey, "name": own.Name,
	})
	err = n.obey(os.Stdin)
	n.leave()
	return err
}

func (n *node) upgrade(w http.ResponseWriter, r *http.Request) {
	made, err := accept(n.own, n.allows, w, r)
	if err != nil {
		n.out.event("refused", map[string]any{"error": err.Error()})
		return
	}
	n.add(made)
	n.live(made)
}

type request struct {
	ID        int    `json:"id"`
	Command   string `json:"cmd"`
	TimeoutMS int    `json:"timeout_ms"`
}

// obey answers commands until the input ends.
func (n *node) obey(in io.Reader) error {
	reader := bufio.NewReader(in)
	for {
		line, err := reader.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			go n.out.send(n.perform(line))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (n *node) perform(line []byte) map[string]any {
	asked := request{TimeoutMS: 30000}
	if err := json.Unmarshal(line, &asked); err != nil {
		return map[string]any{"id": asked.ID, "ok": false, "error": err.Error()}
	}
	known, found := commands[asked.Command]
	if !found {
		return map[string]any{"id": asked.ID, "ok": false, "error": fmt.Sprintf("unknown command %q", asked.Command)}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(asked.TimeoutMS)*time.Millisecond)
	defer cancel()
	answer, err := known(ctx, n, line)
	if answer == nil {
		answer = map[string]any{}
	}
	answer["id"], answer["ok"] = asked.ID, err == nil
	if err != nil {
		answer["error"] = err.Error()
	}
	return answer
}
