package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
)

// stats counts connections and streams of the listening host; the rest is
// that of the whole process.
func stats(_ context.Context, n *node, _ noArgs) (fields, error) {
	report, err := processStats()
	if err != nil {
		return nil, err
	}
	report["connections"], report["streams"] = countOpen(n.host)
	report["held"] = n.held.size()
	return report, nil
}

func countOpen(h host.Host) (connections, streams int) {
	conns := h.Network().Conns()
	for _, c := range conns {
		streams += len(c.GetStreams())
	}
	return len(conns), streams
}

// processStats is what the whole process uses.
func processStats() (fields, error) {
	resident, err := residentBytes()
	if err != nil {
		return nil, fmt.Errorf("read memory use: %w", err)
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return nil, fmt.Errorf("read processor use: %w", err)
	}
	user := time.Duration(usage.Utime.Nano()).Seconds()
	system := time.Duration(usage.Stime.Nano()).Seconds()
	return fields{
		"goroutines":         runtime.NumGoroutine(),
		"rss_bytes":          resident,
		"peak_rss_bytes":     usage.Maxrss * 1024,
		"cpu_user_seconds":   user,
		"cpu_system_seconds": system,
		"cpu_seconds":        user + system,
	}, nil
}

// settle collects garbage and gives freed memory back to the system, so that
// what is resident afterwards is in use.
func settle(ctx context.Context, n *node, args noArgs) (fields, error) {
	debug.FreeOSMemory()
	return stats(ctx, n, args)
}

// residentBytes reads the second field of Linux's statm, counted in pages.
func residentBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	columns := bytes.Fields(text)
	if len(columns) < 2 {
		return 0, fmt.Errorf("unexpected text %q", text)
	}
	pages, err := strconv.ParseInt(string(columns[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err
}
