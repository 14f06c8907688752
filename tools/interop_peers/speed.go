package main

import "time"

// megabytesPerSecond counts in units of 10^6 bytes.
func megabytesPerSecond(bytes int64, elapsed time.Duration) float64 {
	return perSecond(float64(bytes)/1e6, elapsed)
}

// perSecond is 0 where nothing took any time, since JSON has no infinity.
func perSecond(amount float64, elapsed time.Duration) float64 {
	if elapsed <= 0 {
		return 0
	}
	return amount / elapsed.Seconds()
}
