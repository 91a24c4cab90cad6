package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

type churnResult struct {
	Dials     int     `json:"dials"`
	Echoed    int     `json:"echoed"`
	Cancelled int     `json:"cancelled"`
	TooLate   int     `json:"tooLate"` // the dial succeeded before its cancellation; closed at once
	Failed    int     `json:"failed"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"perSecond"`
}

type churn struct {
	through Dialer
	target  string
	seed    uint64
	// cancelFraction is the share of dials that are cancelled.
	cancelFraction float64
	// dialNanos is a moving average of successful dials, from which random moments of cancellation are drawn.
	dialNanos atomic.Int64

	lock     sync.Mutex
	result   churnResult
	failures []error
}

func churnCommand(flags *flag.FlagSet) func() (any, error) {
	reach := frontendFlags(flags)
	target := flags.String("target", "", "HOST:PORT of the echo endpoint")
	dials := flags.Int("dials", 10_000, "how many in all")
	parallel := flags.Int("parallel", 64, "how many at once")
	cancelFraction := flags.Float64("cancel-fraction", 0, "share of dials cancelled at a random moment; 0 measures the dial rate")
	seed := flags.Uint64("seed", 1, "of the choice which dials are cancelled, how and when")
	return func() (any, error) {
		through, err := reach.dialer()
		if err != nil {
			return nil, err
		}
		run := &churn{through: through, target: *target, seed: *seed, cancelFraction: *cancelFraction}
		run.dialNanos.Store(int64(5 * time.Millisecond))
		return run.all(*dials, *parallel)
	}
}

func (c *churn) all(dials, parallel int) (any, error) {
	began := time.Now()
	indices := make(chan int)
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for index := range indices {
				c.one(index)
			}
		})
	}
	for index := range dials {
		indices <- index
	}
	close(indices)
	workers.Wait()
	c.result.Dials = dials
	c.result.Seconds = time.Since(began).Seconds()
	c.result.PerSecond = float64(dials) / c.result.Seconds
	if c.result.Failed > 0 {
		return c.result, fmt.Errorf("%d of %d failed, first: %w", c.result.Failed, dials, errors.Join(c.failures...))
	}
	return c.result, nil
}

func (c *churn) one(index int) {
	random := rand.New(rand.NewPCG(c.seed, uint64(index)))
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	cancelling := random.Float64() < c.cancelFraction
	how := Abandonment(random.IntN(2))
	if cancelling {
		// Up to a little more than a dial takes, so that some cancellations come too late.
		timer := time.AfterFunc(time.Duration(random.Float64()*1.2*float64(c.dialNanos.Load())), cancel)
		defer timer.Stop()
	}
	began := time.Now()
	conn, err := c.through.Dial(ctx, c.target, how)
	if err == nil {
		average := c.dialNanos.Load()
		c.dialNanos.Store(average + (int64(time.Since(began))-average)/16)
	}
	switch {
	case err != nil && cancelling && ctx.Err() != nil:
		c.count(&c.result.Cancelled, nil)
	case err != nil:
		c.count(&c.result.Failed, fmt.Errorf("dial %d: %w", index, err))
	case cancelling:
		c.finish(&c.result.TooLate, index, closeTimely(conn))
	default:
		c.finish(&c.result.Echoed, index, errors.Join(echoOnce(conn, uint64(index)), closeTimely(conn)))
	}
}

func (c *churn) finish(counter *int, index int, err error) {
	if err != nil {
		c.count(&c.result.Failed, fmt.Errorf("connection %d: %w", index, err))
		return
	}
	c.count(counter, nil)
}

func (c *churn) count(counter *int, err error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	*counter++
	if err != nil && len(c.failures) < 5 {
		c.failures = append(c.failures, err)
	}
}

func echoOnce(conn net.Conn, value uint64) error {
	var question, answer [16]byte
	binary.BigEndian.PutUint64(question[:], value)
	binary.BigEndian.PutUint64(question[8:], ^value)
	if _, err := conn.Write(question[:]); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if !bytes.Equal(question[:], answer[:]) {
		return fmt.Errorf("sent %x, got %x back", question, answer)
	}
	return nil
}
