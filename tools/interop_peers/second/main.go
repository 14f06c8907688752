// Second is another go-libp2p program for the benchmarks, written apart from the peer beside it. When the peer is slower
// or faster with itself than where the published figures were taken, this one tells whether that is the machine's doing.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
)

const (
	transfer protocol.ID = "/second/transfer/1"
	mirror   protocol.ID = "/second/mirror/1"
	block                = 256 << 10
)

type request struct {
	ID          int    `json:"id"`
	Cmd         string `json:"cmd"`
	TimeoutMs   int    `json:"timeout_ms"`
	Addr        string `json:"addr"`
	Peer        string `json:"peer"`
	Upload      int64  `json:"upload"`
	Download    int64  `json:"download"`
	Count       int    `json:"count"`
	Concurrency int    `json:"concurrency"`
}

type answer map[string]any

type kind struct {
	listen    string
	transport libp2p.Option
	security  libp2p.Option
}

var kinds = map[string]kind{
	"tcp":  {"/ip4/127.0.0.1/tcp/0", libp2p.Transport(tcp.NewTCPTransport), libp2p.Security(noise.ID, noise.New)},
	"tls":  {"/ip4/127.0.0.1/tcp/0", libp2p.Transport(tcp.NewTCPTransport), libp2p.Security(libp2ptls.ID, libp2ptls.New)},
	"ws":   {"/ip4/127.0.0.1/tcp/0/ws", libp2p.Transport(websocket.New), libp2p.Security(noise.ID, noise.New)},
	"quic": {"/ip4/127.0.0.1/udp/0/quic-v1", libp2p.Transport(quic.NewTransport), libp2p.Security(noise.ID, noise.New)},
}

func (k kind) host(listen bool) (host.Host, error) {
	options := []libp2p.Option{k.transport, k.security, libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.ResourceManager(&network.NullResourceManager{})}
	if listen {
		options = append(options, libp2p.ListenAddrStrings(k.listen))
	} else {
		options = append(options, libp2p.NoListenAddrs)
	}
	return libp2p.New(options...)
}

type worker struct {
	host host.Host
	kind kind
}

func main() {
	transport := flag.String("transport", "tcp", "tcp, tls, ws or quic")
	flag.Parse()
	k, known := kinds[*transport]
	if !known {
		fmt.Fprintln(os.Stderr, "second: no transport", *transport)
		os.Exit(2)
	}
	h, err := k.host(true)
	if err != nil {
		fmt.Fprintln(os.Stderr, "second:", err)
		os.Exit(1)
	}
	h.SetStreamHandler(transfer, serveTransfer)
	h.SetStreamHandler(mirror, serveMirror)
	w := worker{h, k}
	addrs := []string{}
	for _, each := range h.Addrs() {
		addrs = append(addrs, fmt.Sprintf("%s/p2p/%s", each, h.ID()))
	}
	var writing sync.Mutex
	out := json.NewEncoder(os.Stdout)
	say := func(v any) { writing.Lock(); defer writing.Unlock(); _ = out.Encode(v) }
	say(answer{"event": "ready", "peer": h.ID().String(), "addrs": addrs})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var asked request
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			say(answer{"id": 0, "ok": false, "error": err.Error()})
			continue
		}
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(asked.TimeoutMs)*time.Millisecond)
			defer cancel()
			found, err := w.run(ctx, asked)
			if err != nil {
				found = answer{"ok": false, "error": err.Error()}
			} else {
				found["ok"] = true
			}
			found["id"] = asked.ID
			say(found)
		}()
	}
	_ = h.Close()
}

func (w worker) run(ctx context.Context, asked request) (answer, error) {
	switch asked.Cmd {
	case "connect":
		return w.connect(ctx, asked.Addr)
	case "perf":
		return w.perf(ctx, asked)
	case "ping":
		return w.ping(ctx, asked)
	case "streams":
		return together(asked, func(int) error { return w.oneStream(ctx, asked.Peer) })
	case "connections":
		return w.connections(ctx, asked)
	case "stats":
		return answer{"cpu_seconds": processorSeconds()}, nil
	}
	return nil, errors.New("no such command: " + asked.Cmd)
}

func (w worker) connect(ctx context.Context, addr string) (answer, error) {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return nil, err
	}
	return answer{"peer": info.ID.String()}, dial(ctx, w.host, *info)
}

// dial connects and waits until the other end has told who it is.
func dial(ctx context.Context, h host.Host, info peer.AddrInfo) error {
	told, err := h.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		return err
	}
	defer told.Close()
	if err := h.Connect(ctx, info); err != nil {
		return err
	}
	for {
		select {
		case each := <-told.Out():
			if each.(event.EvtPeerIdentificationCompleted).Peer == info.ID {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w worker) open(ctx context.Context, id string, what protocol.ID) (network.Stream, error) {
	other, err := peer.Decode(id)
	if err != nil {
		return nil, err
	}
	return w.host.NewStream(ctx, other, what)
}

func (w worker) perf(ctx context.Context, asked request) (answer, error) {
	began := time.Now()
	s, err := w.open(ctx, asked.Peer, transfer)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := binary.Write(s, binary.BigEndian, asked.Download); err != nil {
		return nil, err
	}
	if err := fill(s, asked.Upload); err != nil {
		return nil, err
	}
	if err := s.CloseWrite(); err != nil {
		return nil, err
	}
	first := make([]byte, 1)
	got, err := io.ReadFull(s, first)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	turned := time.Now()
	rest, err := drain(s)
	if err != nil {
		return nil, err
	}
	ended := time.Now()
	if total := int64(got) + rest; total != asked.Download {
		return nil, fmt.Errorf("%d bytes came, not %d", total, asked.Download)
	}
	return answer{
		"upload_mb_per_s":   float64(asked.Upload) / 1e6 / turned.Sub(began).Seconds(),
		"download_mb_per_s": float64(asked.Download) / 1e6 / ended.Sub(turned).Seconds(),
	}, nil
}

func serveTransfer(s network.Stream) {
	defer s.Close()
	var wanted int64
	if binary.Read(s, binary.BigEndian, &wanted) != nil {
		_ = s.Reset()
		return
	}
	if _, err := drain(s); err != nil || fill(s, wanted) != nil {
		_ = s.Reset()
	}
}

func fill(out io.Writer, size int64) error {
	data := make([]byte, block)
	for size > 0 {
		n, err := out.Write(data[:min(size, block)])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}

func drain(in io.Reader) (int64, error) {
	data := make([]byte, block)
	var total int64
	for {
		n, err := in.Read(data)
		total += int64(n)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

func (w worker) ping(ctx context.Context, asked request) (answer, error) {
	other, err := peer.Decode(asked.Peer)
	if err != nil {
		return nil, err
	}
	trips := make([]float64, 0, asked.Count)
	results := ping.Ping(ctx, w.host, other)
	for len(trips) < asked.Count {
		result, open := <-results
		if !open {
			results = ping.Ping(ctx, w.host, other)
			continue
		}
		if result.Error != nil {
			return nil, result.Error
		}
		trips = append(trips, float64(result.RTT.Nanoseconds())/1e3)
	}
	sort.Float64s(trips)
	return answer{"lost": 0, "median_us": trips[len(trips)/2], "p99_us": trips[len(trips)*99/100]}, nil
}

func (w worker) oneStream(ctx context.Context, id string) error {
	s, err := w.open(ctx, id, mirror)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := s.Write([]byte{7}); err != nil {
		return err
	}
	back := make([]byte, 1)
	_, err = io.ReadFull(s, back)
	return err
}

func serveMirror(s network.Stream) {
	defer s.Close()
	_, _ = io.Copy(s, s)
}

func (w worker) connections(ctx context.Context, asked request) (answer, error) {
	info, err := peer.AddrInfoFromString(asked.Addr)
	if err != nil {
		return nil, err
	}
	hosts := make([]host.Host, max(asked.Concurrency, 1))
	for at := range hosts {
		if hosts[at], err = w.kind.host(false); err != nil {
			return nil, err
		}
		defer hosts[at].Close()
	}
	return together(asked, func(dialer int) error {
		if err := dial(ctx, hosts[dialer], *info); err != nil {
			return err
		}
		return hosts[dialer].Network().ClosePeer(info.ID)
	})
}

// together does something asked.Count times, asked.Concurrency at once, and tells how often that is a second.
func together(asked request, one func(lane int) error) (answer, error) {
	lanes := max(asked.Concurrency, 1)
	var left, failed atomic.Int64
	left.Store(int64(asked.Count))
	var first atomic.Value
	var all sync.WaitGroup
	began := time.Now()
	for lane := range lanes {
		all.Add(1)
		go func() {
			defer all.Done()
			for left.Add(-1) >= 0 {
				if err := one(lane); err != nil {
					failed.Add(1)
					first.CompareAndSwap(nil, strings.TrimSpace(err.Error()))
				}
			}
		}()
	}
	all.Wait()
	seconds := time.Since(began).Seconds()
	told, _ := first.Load().(string)
	return answer{"failed": failed.Load(), "first_error": told, "per_second": float64(asked.Count) / seconds}, nil
}

func processorSeconds() float64 {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(used.Utime) + seconds(used.Stime)
}
