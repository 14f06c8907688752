package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// fields is one JSON object on its way out.
type fields map[string]any

// lineQueue writes JSON lines in order without ever making the sender wait:
// a slow reader of standard output must not stall the network.
type lineQueue struct {
	mutex   sync.Mutex
	changed *sync.Cond
	pending [][]byte
	closed  bool
	drained chan struct{}
}

func newLineQueue(out io.Writer) *lineQueue {
	q := &lineQueue{drained: make(chan struct{})}
	q.changed = sync.NewCond(&q.mutex)
	go q.write(out)
	return q
}

func (q *lineQueue) send(object fields) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(object); err != nil {
		fmt.Fprintln(os.Stderr, "peer: encode line:", err)
		return
	}
	q.mutex.Lock()
	defer q.mutex.Unlock()
	if !q.closed {
		q.pending = append(q.pending, line.Bytes())
		q.changed.Signal()
	}
}

func (q *lineQueue) write(out io.Writer) {
	defer close(q.drained)
	for {
		lines := q.take()
		if lines == nil {
			return
		}
		if _, err := out.Write(bytes.Join(lines, nil)); err != nil {
			fmt.Fprintln(os.Stderr, "peer: write line:", err)
			return
		}
	}
}

// take waits for lines; nil means that the queue is closed and empty.
func (q *lineQueue) take() [][]byte {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	for len(q.pending) == 0 && !q.closed {
		q.changed.Wait()
	}
	lines := q.pending
	q.pending = nil
	return lines
}

// close lets the remaining lines out, for as long as patience lasts.
func (q *lineQueue) close(patience time.Duration) {
	q.mutex.Lock()
	q.closed = true
	q.changed.Signal()
	q.mutex.Unlock()
	select {
	case <-q.drained:
	case <-time.After(patience):
	}
}
