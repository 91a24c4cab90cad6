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
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type churnResult struct {
	Dials     int     `json:"dials"`
	Echoed    int     `json:"echoed"`
	Cancelled int     `json:"cancelled"`
	TooLate   int     `json:"tooLate"` // the dial succeeded before its cancellation; closed at once
	Refused   int     `json:"refused"`
	Reset     int     `json:"reset"`
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
	// A tenth of the dials each go to these, where they are given.
	refusing, resetting string
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
	refusing := flags.String("refusing", "", "HOST:PORT that refuses; a tenth of the dials go there")
	resetting := flags.String("resetting", "", "HOST:PORT of the reset endpoint; a tenth of the dials go there")
	seed := flags.Uint64("seed", 1, "of the choice which dials are cancelled, how and when")
	return func() (any, error) {
		through, err := reach.dialer()
		if err != nil {
			return nil, err
		}
		run := &churn{
			through: through, target: *target, seed: *seed, cancelFraction: *cancelFraction,
			refusing: *refusing, resetting: *resetting,
		}
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
	switch share := random.IntN(10); {
	case share == 0 && c.refusing != "":
		c.finish(&c.result.Refused, index, c.refused(ctx))
		return
	case share == 1 && c.resetting != "":
		c.finish(&c.result.Reset, index, c.reset(ctx))
		return
	}
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

// refused returns an error unless the dial was refused.
func (c *churn) refused(ctx context.Context) error {
	conn, err := c.through.Dial(ctx, c.refusing, AbandonRequest)
	switch {
	case err == nil:
		return errors.Join(errors.New("a dial that was to be refused brought a connection"), conn.Close())
	case !strings.Contains(err.Error(), "connection refused"):
		return fmt.Errorf("a dial that was to be refused: %w", err)
	}
	return nil
}

// reset returns an error unless the endpoint's RST ended the connection without a byte.
func (c *churn) reset(ctx context.Context) error {
	conn, err := c.through.Dial(ctx, c.resetting, AbandonRequest)
	if err != nil {
		return fmt.Errorf("an endpoint that was to reset: %w", err)
	}
	// A failed write is as good an end as a failed read.
	_, _ = conn.Write([]byte{1})
	if count, err := conn.Read(make([]byte, 1)); err == nil {
		return errors.Join(fmt.Errorf("an endpoint that was to reset sent %d bytes", count), closeTimely(conn))
	}
	return closeTimely(conn)
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
