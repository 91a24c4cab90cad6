package client

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"
)

type dialResult struct {
	Seconds float64 `json:"seconds"`
}

// dialCommand reports how long a dial took, also if it failed: the error then says how.
func dialCommand(flags *flag.FlagSet) func() (any, error) {
	reach := frontendFlags(flags)
	target := flags.String("target", "", "HOST:PORT")
	return func() (any, error) {
		through, err := reach.dialer()
		if err != nil {
			return nil, err
		}
		began := time.Now()
		conn, err := dialTarget(through, *target)
		result := dialResult{time.Since(began).Seconds()}
		if err != nil {
			return result, err
		}
		return result, closeTimely(conn)
	}
}

type readToEndResult struct {
	Connections int `json:"connections"`
	Complete    int `json:"complete"`
}

// readToEndCommand asks the closing endpoint for bytes and reads until the end: all of them, unchanged, then EOF.
func readToEndCommand(flags *flag.FlagSet) func() (any, error) {
	reach := frontendFlags(flags)
	target := flags.String("target", "", "HOST:PORT of the closing endpoint")
	length := flags.Int64("bytes", 100_000, "per connection")
	count := flags.Int("connections", 20, "how many, one after the other")
	return func() (any, error) {
		through, err := reach.dialer()
		if err != nil {
			return nil, err
		}
		wanted := sha256.New()
		if err := newPattern(closingSeed).send(io.Discard, *length, transferChunk, wanted); err != nil {
			return nil, err
		}
		result := readToEndResult{Connections: *count}
		var failures []error
		for index := range *count {
			if err := readToEnd(through, *target, *length, [sha256.Size]byte(wanted.Sum(nil))); err != nil {
				failures = append(failures, fmt.Errorf("connection %d: %w", index, err))
				continue
			}
			result.Complete++
		}
		return result, errors.Join(failures...)
	}
}

func readToEnd(through Dialer, target string, length int64, wanted [sha256.Size]byte) (err error) {
	conn, err := dialTarget(through, target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeTimely(conn)) }()
	if _, err := conn.Write(binary.BigEndian.AppendUint64(nil, uint64(length))); err != nil {
		return err
	}
	digest := sha256.New()
	read, err := io.Copy(digest, conn)
	if err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", read, length, err)
	}
	if read != length || [sha256.Size]byte(digest.Sum(nil)) != wanted {
		return fmt.Errorf("%d of %d bytes before the end, digest %x", read, length, digest.Sum(nil))
	}
	return nil
}
