package client

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A window is what the neighbours did in one stretch of time.
type window struct {
	Seconds float64 `json:"seconds"`
	// MegabytesPerSecond counts both directions together, in units of 10^6 bytes.
	MegabytesPerSecond float64 `json:"megabytesPerSecond"`
	// DialMillis has each dial that was answered in the window.
	DialMillis []float64 `json:"dialMillis"`
	// PendingMillis is the age of the oldest dial without an answer at the window's end.
	PendingMillis float64 `json:"pendingMillis"`
	// LongestEchoMillis is the longest of the round trips that ended in the window, or the age of the oldest that has not.
	LongestEchoMillis float64 `json:"longestEchoMillis"`
	// Failures has the first few errors of dials, whole connections included.
	Failures []string `json:"failures"`
}

// neighbours are connections that echo at a steady rate or without a pause, and dials beside them.
type neighbours struct {
	through Dialer
	target  string
	size    int
	every   time.Duration
	started time.Time
	pause   time.Duration

	// gate is open for the length of a window: outside of it no echo and no dial begins.
	gate  sync.RWMutex
	moved atomic.Int64
	lock  sync.Mutex
	// present collects; waits has the beginning of each round trip and dial under way, by who does it.
	present window
	echoes  waits
	dials   waits
}

// waits has when each of so many began what it waits for; zero where it waits for nothing.
type waits []time.Time

func (w waits) oldestMillis() float64 {
	oldest := 0.0
	for _, began := range w {
		if !began.IsZero() {
			oldest = max(oldest, millisSince(began))
		}
	}
	return oldest
}

func millisSince(began time.Time) float64 {
	return float64(time.Since(began).Microseconds()) / 1000
}

// neighboursCommand prints {"event":"running"} when all connections are open. Each line on stdin is a duration: the
// window that begins there is printed when it has passed. Between windows they rest. The end of stdin ends the process.
func neighboursCommand(flags *flag.FlagSet) func() (any, error) {
	reach := frontendFlags(flags)
	target := flags.String("target", "", "HOST:PORT of the echo endpoint")
	connections := flags.Int("connections", 100, "that echo")
	size := flags.Int("size", 8*1024, "bytes of one echo")
	every := flags.Duration("every", 50*time.Millisecond, "an echo of each connection begins, if the last has ended; 0 for no pause")
	dialers := flags.Int("dialers", 2, "that dial, echo once and close, each on its own")
	pause := flags.Duration("dial-pause", 5*time.Millisecond, "of each dialer between two dials")
	return func() (any, error) {
		through, err := reach.dialer()
		if err != nil {
			return nil, err
		}
		n := &neighbours{
			through: through, target: *target, size: *size, every: *every, started: time.Now(), pause: *pause,
			echoes: make(waits, *connections), dials: make(waits, *dialers),
		}
		n.gate.Lock()
		for index := range *connections {
			conn, err := dialTarget(through, *target)
			if err != nil {
				return nil, fmt.Errorf("neighbour %d: %w", index, err)
			}
			go n.echo(index, conn)
		}
		for index := range *dialers {
			go n.dial(index)
		}
		printLine(map[string]any{"event": "running", "connections": *connections})
		commands := bufio.NewScanner(os.Stdin)
		for commands.Scan() {
			length, err := time.ParseDuration(commands.Text())
			if err != nil {
				return nil, err
			}
			printLine(n.window(length))
		}
		return map[string]any{}, commands.Err()
	}
}

func (n *neighbours) window(length time.Duration) window {
	n.lock.Lock()
	n.present = window{DialMillis: []float64{}, Failures: []string{}}
	n.lock.Unlock()
	began, before := time.Now(), n.moved.Load()
	n.gate.Unlock()
	time.Sleep(length)
	n.gate.Lock()
	n.lock.Lock()
	defer n.lock.Unlock()
	seen := n.present
	seen.Seconds = time.Since(began).Seconds()
	seen.MegabytesPerSecond = float64(n.moved.Load()-before) / 1e6 / seen.Seconds
	seen.PendingMillis = n.dials.oldestMillis()
	seen.LongestEchoMillis = max(seen.LongestEchoMillis, n.echoes.oldestMillis())
	return seen
}

func (n *neighbours) echo(index int, conn net.Conn) {
	question, answer := []byte(newPattern(uint64(index % seedCount)))[:n.size], make([]byte, n.size)
	// Spread, so that they do not all echo at once.
	phase := n.every * time.Duration(index) / time.Duration(len(n.echoes))
	for {
		n.awaitGate()
		if n.every > 0 {
			time.Sleep(n.every - (time.Since(n.started)-phase)%n.every)
		}
		began := n.begin(n.echoes, index)
		// One goroutine writes and another reads, as nothing between may have room for a whole question.
		written := make(chan error, 1)
		go func() {
			_, err := conn.Write(question)
			written <- err
		}()
		_, err := io.ReadFull(conn, answer)
		if err == nil && !bytes.Equal(question, answer) {
			err = errors.New("the echo differs")
		}
		if err == nil {
			err = <-written
		}
		if err != nil {
			n.failed(fmt.Errorf("neighbour %d: %w", index, err))
			return
		}
		n.moved.Add(int64(2 * n.size))
		n.lock.Lock()
		n.echoes[index] = time.Time{}
		n.present.LongestEchoMillis = max(n.present.LongestEchoMillis, millisSince(began))
		n.lock.Unlock()
	}
}

func (n *neighbours) dial(index int) {
	for count := uint64(0); ; count++ {
		n.awaitGate()
		began := n.begin(n.dials, index)
		conn, err := dialTarget(n.through, n.target)
		took := millisSince(began)
		n.lock.Lock()
		n.dials[index] = time.Time{}
		if err == nil {
			n.present.DialMillis = append(n.present.DialMillis, took)
		}
		n.lock.Unlock()
		if err == nil {
			err = errors.Join(echoOnce(conn, count), closeTimely(conn))
		}
		if err != nil {
			n.failed(fmt.Errorf("dial after %.0f ms: %w", took, err))
		}
		time.Sleep(n.pause)
	}
}

func (n *neighbours) awaitGate() {
	n.gate.RLock()
	// Held no longer: an echo that never ends must not keep the gate open.
	defer n.gate.RUnlock()
}

func (n *neighbours) begin(what waits, index int) time.Time {
	n.lock.Lock()
	defer n.lock.Unlock()
	what[index] = time.Now()
	return what[index]
}

func (n *neighbours) failed(err error) {
	n.lock.Lock()
	defer n.lock.Unlock()
	if len(n.present.Failures) < 5 {
		n.present.Failures = append(n.present.Failures, err.Error())
	}
}
