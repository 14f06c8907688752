package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

type repeatResult struct {
	elapsed    time.Duration
	failed     int
	firstError error
}

func checkRepeat(count, concurrency int) error {
	if count < 1 || concurrency < 1 {
		return errors.New("arguments \"count\" and \"concurrency\" must be positive")
	}
	return nil
}

// repeat does a thing count times, spread over the given number of workers,
// and goes on after failures. Once ctx ends, the rest fails without a try.
func repeat(ctx context.Context, count, workers int, once func(ctx context.Context, worker int) error) repeatResult {
	var result repeatResult
	var mutex sync.Mutex
	var taken atomic.Int64
	var running sync.WaitGroup
	started := time.Now()
	for worker := range min(workers, count) {
		running.Go(func() {
			for taken.Add(1) <= int64(count) {
				err := context.Cause(ctx)
				if err == nil {
					err = once(ctx, worker)
				}
				if err != nil {
					mutex.Lock()
					result.note(err)
					mutex.Unlock()
				}
			}
		})
	}
	running.Wait()
	result.elapsed = time.Since(started)
	return result
}

func (r *repeatResult) note(err error) {
	r.failed++
	if r.firstError == nil {
		r.firstError = err
	}
}

// fields counts only what succeeded in the rate.
func (r *repeatResult) fields(count int) fields {
	report := fields{
		"count":      count,
		"failed":     r.failed,
		"seconds":    r.elapsed.Seconds(),
		"per_second": perSecond(float64(count-r.failed), r.elapsed),
	}
	if r.firstError != nil {
		report["first_error"] = r.firstError.Error()
	}
	return report
}
