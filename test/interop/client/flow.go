package client

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// flowCommand prints {"event":"second","bytes":n} for each second once all connections are open, over all of them.
func flowCommand(flags *flag.FlagSet) func() (any, error) {
	reach := frontendFlags(flags)
	direction := flags.String("direction", "down", "down reads what the target sends; up sends to it")
	target := flags.String("target", "", "HOST:PORT of the source endpoint, or of the discard endpoint")
	connections := flags.Int("connections", 32, "how many at once")
	return func() (any, error) {
		through, err := reach.dialer()
		if err != nil {
			return nil, err
		}
		move, known := map[string]func(net.Conn, *atomic.Int64) error{"down": readOn, "up": sendOn}[*direction]
		if !known {
			return nil, fmt.Errorf("unknown --direction %q", *direction)
		}
		open, err := dialAll(through, *target, *connections)
		if err != nil {
			return nil, err
		}
		var moved atomic.Int64
		failed := make(chan error, len(open))
		for _, conn := range open {
			go func() { failed <- move(conn, &moved) }()
		}
		ended := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, os.Stdin)
			ended <- err
		}()
		ticks := time.NewTicker(time.Second)
		defer ticks.Stop()
		for {
			select {
			case <-ticks.C:
				printLine(map[string]any{"event": "second", "bytes": moved.Swap(0)})
			case err := <-failed:
				return nil, err
			case err := <-ended:
				return map[string]any{}, err
			}
		}
	}
}

func readOn(conn net.Conn, moved *atomic.Int64) error {
	piece := make([]byte, 64*1024)
	for {
		count, err := conn.Read(piece)
		moved.Add(int64(count))
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
}

func sendOn(conn net.Conn, moved *atomic.Int64) error {
	piece := []byte(newPattern(2))[:transferChunk]
	for {
		count, err := conn.Write(piece)
		moved.Add(int64(count))
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
}
