package client

import (
	"bufio"
	"bytes"
	"context"
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

const (
	loadOpening = 32 // dials at once while connections are opened
	loadClosing = 12 * time.Second
)

// A load is what a benchmark puts on a tunnel for a while: any mix of downloads, uploads, echoes and dials.
type load struct {
	through            Dialer
	flood, discard     string
	echo               string
	size               int
	bytesDown, bytesUp atomic.Int64
	echoes, dials      crew
	downloads, uploads []net.Conn
	echoing            []net.Conn
	broken             chan error
	ended              context.Context
	workers            sync.WaitGroup
}

type loadResult struct {
	Event     string      `json:"event"`
	Seconds   float64     `json:"seconds"`
	BytesDown int64       `json:"bytesDown"`
	BytesUp   int64       `json:"bytesUp"`
	Echoes    *operations `json:"echoes,omitempty"`
	Dials     *operations `json:"dials,omitempty"`
}

// loadCommand opens its connections and prints {"event":"open"}. A line on stdin begins the warm-up, {"event":"warm"} says
// that it is over, and {"event":"measured"} brings what happened after it: these two are the moments to look at what the
// halves have used. The load goes on until another line, which closes all that it has open.
func loadCommand(flags *flag.FlagSet) func() (any, error) {
	reach := frontendFlags(flags)
	var l load
	flags.StringVar(&l.flood, "flood", "", "HOST:PORT of the flood endpoint, for downloads")
	flags.StringVar(&l.discard, "discard", "", "HOST:PORT of the discard endpoint, for uploads")
	flags.StringVar(&l.echo, "echo", "", "HOST:PORT of the echo endpoint, for echoes and dials")
	flags.IntVar(&l.size, "size", 200, "bytes of one echo")
	downloads := flags.Int("downloads", 0, "connections that read what the endpoint sends")
	uploads := flags.Int("uploads", 0, "connections that send")
	echoes := flags.Int("echoes", 0, "connections that echo, each without a pause")
	dials := flags.Int("dials", 0, "that dial, echo 16 bytes once and close, each without a pause")
	warm := flags.Duration("warm", 500*time.Millisecond, "not measured")
	length := flags.Duration("length", 3*time.Second, "measured after it")
	return func() (any, error) {
		var err error
		if l.through, err = reach.dialer(); err != nil {
			return nil, err
		}
		l.echoes, l.dials = newCrew(*echoes), newCrew(*dials)
		for _, wanted := range []struct {
			into   *[]net.Conn
			target string
			count  int
		}{{&l.downloads, l.flood, *downloads}, {&l.uploads, l.discard, *uploads}, {&l.echoing, l.echo, *echoes}} {
			if *wanted.into, err = openSome(l.through, wanted.target, wanted.count); err != nil {
				return nil, err
			}
		}
		printLine(map[string]string{"event": "open"})
		commands := bufio.NewScanner(os.Stdin)
		if !commands.Scan() {
			return nil, errors.New("stdin ended before it said to begin")
		}
		return l.run(*warm, *length, commands)
	}
}

func (l *load) run(warm, length time.Duration, commands *bufio.Scanner) (any, error) {
	var end context.CancelFunc
	l.ended, end = context.WithCancel(context.Background())
	defer end()
	l.broken = make(chan error, len(l.downloads)+len(l.uploads)+len(l.echoing))
	l.start()
	if err := l.wait(warm); err != nil {
		return nil, err
	}
	printLine(map[string]string{"event": "warm"})
	began := time.Now()
	l.bytesDown.Store(0)
	l.bytesUp.Store(0)
	l.echoes.forget()
	l.dials.forget()
	if err := l.wait(length); err != nil {
		return nil, err
	}
	printLine(loadResult{
		"measured", time.Since(began).Seconds(), l.bytesDown.Load(), l.bytesUp.Load(), l.echoes.summary(), l.dials.summary(),
	})
	commands.Scan()
	end()
	return map[string]any{}, l.close()
}

func (l *load) start() {
	for _, conn := range l.downloads {
		l.workers.Go(func() {
			if _, err := conn.Write([]byte{1}); err != nil {
				l.broken <- err
				return
			}
			l.broken <- readOn(conn, &l.bytesDown)
		})
	}
	for _, conn := range l.uploads {
		l.workers.Go(func() { l.broken <- sendOn(conn, &l.bytesUp) })
	}
	for index, conn := range l.echoing {
		l.workers.Go(func() { l.echoOn(l.echoes[index], conn) })
	}
	for index, worker := range l.dials {
		l.workers.Go(func() { l.dialOn(worker, uint64(index)) })
	}
}

// wait returns early with an error if a connection ends.
func (l *load) wait(length time.Duration) error {
	select {
	case err := <-l.broken:
		return fmt.Errorf("a connection ended before its time: %w", err)
	case <-time.After(length):
		return nil
	}
}

func (l *load) echoOn(worker *worker, conn net.Conn) {
	question, answer := []byte(newPattern(7))[:l.size], make([]byte, l.size)
	for l.ended.Err() == nil {
		worker.begin()
		_, err := conn.Write(question)
		if err == nil {
			_, err = io.ReadFull(conn, answer)
		}
		if err == nil && !bytes.Equal(question, answer) {
			err = errors.New("the echo differs")
		}
		worker.end(err)
		if err != nil {
			l.broken <- err
			return
		}
	}
}

// dialOn times each dial up to the answer to its first bytes. The close behind it takes its time as well, unmeasured. None is
// cancelled at the end: the reference may keep what an abandoned dial has opened.
func (l *load) dialOn(worker *worker, index uint64) {
	for count := uint64(0); l.ended.Err() == nil; count++ {
		worker.begin()
		conn, err := dialTarget(l.through, l.echo)
		if err == nil {
			err = echoOnce(conn, index<<32|count)
		}
		worker.end(err)
		if conn != nil {
			_ = conn.Close()
		}
	}
}

// close waits for what is slow to end, and not for what never does.
func (l *load) close() error {
	for _, conns := range [][]net.Conn{l.downloads, l.uploads, l.echoing} {
		for _, conn := range conns {
			l.workers.Go(func() { _ = conn.Close() })
		}
	}
	closed := make(chan struct{})
	go func() {
		l.workers.Wait()
		close(closed)
	}()
	select {
	case <-closed:
		return nil
	case <-time.After(loadClosing):
		return fmt.Errorf("not all connections were closed after %v", loadClosing)
	}
}

func openSome(through Dialer, target string, count int) ([]net.Conn, error) {
	open, failures := make([]net.Conn, count), make([]error, count)
	places := make(chan struct{}, loadOpening)
	var dialing sync.WaitGroup
	for index := range count {
		places <- struct{}{}
		dialing.Go(func() {
			defer func() { <-places }()
			open[index], failures[index] = dialTarget(through, target)
		})
	}
	dialing.Wait()
	return open, errors.Join(failures...)
}
