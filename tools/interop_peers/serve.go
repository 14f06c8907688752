package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	hostClosePatience = 2 * time.Second
	lastLinesPatience = time.Second
)

var (
	errInputEnded   = errors.New("standard input ended")
	errStopSignal   = errors.New("stop signal received")
	errLifetimeOver = errors.New("lifetime of the process is over")
)

// serve runs a node until standard input ends, a signal asks for the end, or
// the lifetime is over. Only the last of these is an error.
func serve(args []string) error {
	options, err := parseServeOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read flags: %w", err)
	}
	out := newLineQueue(os.Stdout)
	defer out.close(lastLinesPatience)
	n, err := startNode(options, out)
	if err != nil {
		return err
	}
	defer n.stop()
	ready, err := n.ready()
	if err != nil {
		return err
	}
	ctx, end := processContext(options.lifetime)
	defer end(nil)
	out.send(ready)
	if options.mdns != "" {
		if err := startMdns(n.host, options.mdns, out); err != nil {
			return err
		}
	}
	go func() { end(nodeCommands.answerFrom(ctx, n, os.Stdin, out)) }()
	<-ctx.Done()
	return causeOfFailure(ctx)
}

// processContext ends with the reason for which the process has to end.
func processContext(lifetime time.Duration) (context.Context, context.CancelCauseFunc) {
	ctx, end := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		end(errStopSignal)
	}()
	if lifetime > 0 {
		time.AfterFunc(lifetime, func() { end(errLifetimeOver) })
	}
	return ctx, end
}

func causeOfFailure(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, errInputEnded) || errors.Is(cause, errStopSignal) {
		return nil
	}
	return cause
}

func (n *node) stop() { closeInTime(n.host) }

// closeInTime closes a host or more, but does not let a stuck connection keep
// the process.
func closeInTime(hosts io.Closer) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if err := hosts.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "peer: close:", err)
		}
	}()
	select {
	case <-closed:
	case <-time.After(hostClosePatience):
	}
}

// inputError turns the end of the command reader into a reason to stop.
func inputError(err error) error {
	if errors.Is(err, io.EOF) {
		return errInputEnded
	}
	return fmt.Errorf("read commands: %w", err)
}
