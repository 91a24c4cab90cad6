package client

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

type echoResult struct {
	Requests  int     `json:"requests"`
	Parallel  int     `json:"parallel"`
	PerSecond float64 `json:"perSecond"`
	P50Micros int64   `json:"p50Micros"`
	P99Micros int64   `json:"p99Micros"`
}

func echoCommand(flags *flag.FlagSet) func() (any, error) {
	reach := frontendFlags(flags)
	target := flags.String("target", "", "HOST:PORT of the echo endpoint")
	requests := flags.Int("requests", 2000, "how many per connection")
	parallel := flags.Int("parallel", 1, "connections at once")
	size := flags.Int("size", 200, "bytes of one request")
	return func() (any, error) {
		through, err := reach.dialer()
		if err != nil {
			return nil, err
		}
		open := make([]net.Conn, *parallel)
		for index := range open {
			if open[index], err = dialTarget(through, *target); err != nil {
				return nil, err
			}
		}
		times := make([][]time.Duration, *parallel)
		failures := make([]error, *parallel)
		began := time.Now()
		var running sync.WaitGroup
		for index, conn := range open {
			running.Go(func() { times[index], failures[index] = roundTrips(conn, *requests, *size) })
		}
		running.Wait()
		seconds := time.Since(began).Seconds()
		for index, conn := range open {
			failures[index] = errors.Join(failures[index], closeTimely(conn))
		}
		if err := errors.Join(failures...); err != nil {
			return nil, err
		}
		all := slices.Concat(times...)
		slices.Sort(all)
		return echoResult{
			Requests: len(all), Parallel: *parallel, PerSecond: float64(len(all)) / seconds,
			P50Micros: all[len(all)/2].Microseconds(), P99Micros: all[len(all)*99/100].Microseconds(),
		}, nil
	}
}

func roundTrips(conn net.Conn, count, size int) ([]time.Duration, error) {
	question, answer := []byte(newPattern(7))[:size], make([]byte, size)
	times := make([]time.Duration, 0, count)
	for index := range count {
		began := time.Now()
		if _, err := conn.Write(question); err != nil {
			return nil, fmt.Errorf("request %d: %w", index, err)
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			return nil, fmt.Errorf("answer %d: %w", index, err)
		}
		times = append(times, time.Since(began))
		if !bytes.Equal(question, answer) {
			return nil, fmt.Errorf("answer %d differs from its request", index)
		}
	}
	return times, nil
}
