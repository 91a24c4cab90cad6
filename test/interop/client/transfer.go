package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

type transferResult struct {
	Connections int     `json:"connections"`
	BytesUp     int64   `json:"bytesUp"`
	BytesDown   int64   `json:"bytesDown"`
	Seconds     float64 `json:"seconds"`
	// MegabytesPerSecond counts both directions together, in units of 10^6 bytes, dials not included.
	MegabytesPerSecond float64 `json:"megabytesPerSecond"`
	DigestsEqual       int     `json:"digestsEqual"`
}

func transferCommand(flags *flag.FlagSet) func() (any, error) {
	reach := frontendFlags(flags)
	target := flags.String("target", "", "HOST:PORT of the transfer endpoint")
	direction := flags.String("direction", "down", "down (from the endpoint), up or both")
	total := flags.Int64("bytes", 1<<30, "bytes per direction, shared by all connections")
	connections := flags.Int("connections", 1, "how many at once")
	return func() (any, error) {
		through, err := reach.dialer()
		if err != nil {
			return nil, err
		}
		each := *total / int64(*connections)
		var up, down int64
		switch *direction {
		case "up":
			up = each
		case "down":
			down = each
		case "both":
			up, down = each, each
		default:
			return nil, fmt.Errorf("unknown --direction %q", *direction)
		}
		return transferAll(through, *target, *connections, up, down)
	}
}

func transferAll(through Dialer, target string, count int, up, down int64) (any, error) {
	open, err := dialAll(through, target, count)
	if err != nil {
		return nil, err
	}
	failures := make([]error, count)
	began := time.Now()
	var running sync.WaitGroup
	for index, conn := range open {
		running.Go(func() {
			if err := transferOne(conn, uint64(index%seedCount), up, down); err != nil {
				failures[index] = fmt.Errorf("connection %d: %w", index, err)
			}
		})
	}
	running.Wait()
	seconds := time.Since(began).Seconds()
	equal := 0
	for index, conn := range open {
		if failures[index] == nil {
			equal++
		}
		failures[index] = errors.Join(failures[index], closeTimely(conn))
	}
	return transferResult{
		Connections: count, BytesUp: up * int64(count), BytesDown: down * int64(count), Seconds: seconds,
		MegabytesPerSecond: float64((up+down)*int64(count)) / 1e6 / seconds, DigestsEqual: equal,
	}, errors.Join(failures...)
}

// transferOne returns an error unless both ends computed the same digests over what was sent and what arrived.
func transferOne(conn net.Conn, seed uint64, up, down int64) error {
	var head [transferHeadLength]byte
	binary.BigEndian.PutUint64(head[:], uint64(up))
	binary.BigEndian.PutUint64(head[8:], uint64(down))
	binary.BigEndian.PutUint64(head[16:], seed)
	if _, err := conn.Write(head[:]); err != nil {
		return fmt.Errorf("write head: %w", err)
	}
	sent, received := sha256.New(), sha256.New()
	sending := make(chan error, 1)
	// The bytes up come from another seed than those down, so that an echo cannot pass for a transfer.
	go func() { sending <- newPattern(seed|1<<31).send(conn, up, transferChunk, sent) }()
	if err := receive(conn, down, received); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if err := matchDigest(conn, received.Sum(nil)); err != nil {
		return fmt.Errorf("down: %w", err)
	}
	if err := <-sending; err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if err := matchDigest(conn, sent.Sum(nil)); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	return nil
}

func matchDigest(conn net.Conn, own []byte) error {
	theirs := make([]byte, sha256.Size)
	if _, err := io.ReadFull(conn, theirs); err != nil {
		return fmt.Errorf("read digest: %w", err)
	}
	if !bytes.Equal(own, theirs) {
		return fmt.Errorf("digests differ: %x here, %x at the endpoint", own, theirs)
	}
	return nil
}
