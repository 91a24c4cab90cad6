package client

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// A heldConn is one open connection whose bytes are read at once: answers go to echoes, the end closes ended.
type heldConn struct {
	net.Conn
	index  int
	echoes chan [16]byte
	ended  chan struct{}
}

// holdCommand prints {"event":"held"} when all connections are open, then obeys lines on stdin: "echo" sends 16 bytes
// on each connection still open and prints how many came back; "close" or the end of stdin closes all.
// A connection that ends by itself prints {"event":"ended"} at that moment.
func holdCommand(flags *flag.FlagSet) func() (any, error) {
	reach := frontendFlags(flags)
	target := flags.String("target", "", "HOST:PORT of the echo endpoint")
	count := flags.Int("connections", 1000, "how many at once")
	parallel := flags.Int("parallel", 64, "dials at once")
	return func() (any, error) {
		through, err := reach.dialer()
		if err != nil {
			return nil, err
		}
		var closing sync.WaitGroup
		held, err := openAll(through, *target, *count, *parallel)
		if err != nil {
			return nil, err
		}
		printLine(map[string]any{"event": "held", "connections": len(held)})
		commands := bufio.NewScanner(os.Stdin)
		for commands.Scan() && strings.TrimSpace(commands.Text()) != "close" {
			printLine(echoAll(held))
		}
		failures := make([]error, len(held))
		for index, conn := range held {
			closing.Go(func() { failures[index] = closeTimely(conn) })
		}
		closing.Wait()
		return map[string]int{"connections": len(held)}, errors.Join(failures...)
	}
}

func openAll(through Dialer, target string, count, parallel int) ([]*heldConn, error) {
	held := make([]*heldConn, count)
	failures := make([]error, count)
	places := make(chan struct{}, parallel)
	var dialing sync.WaitGroup
	for index := range count {
		places <- struct{}{}
		dialing.Go(func() {
			defer func() { <-places }()
			conn, err := dialTarget(through, target)
			if err != nil {
				failures[index] = fmt.Errorf("connection %d: %w", index, err)
				return
			}
			held[index] = &heldConn{conn, index, make(chan [16]byte, 1), make(chan struct{})}
			go held[index].read()
		})
	}
	dialing.Wait()
	return held, errors.Join(failures...)
}

func (h *heldConn) read() {
	defer close(h.ended)
	for {
		var answer [16]byte
		if _, err := io.ReadFull(h, answer[:]); err != nil {
			printLine(map[string]any{"event": "ended", "index": h.index, "reason": err.Error()})
			return
		}
		h.echoes <- answer
	}
}

func echoAll(held []*heldConn) map[string]any {
	answered := make([]bool, len(held))
	ended := make([]bool, len(held))
	var asking sync.WaitGroup
	for index, conn := range held {
		asking.Go(func() {
			select {
			case <-conn.ended:
				ended[index] = true
				return
			default:
			}
			var question [16]byte
			binary.BigEndian.PutUint64(question[:], uint64(index))
			binary.BigEndian.PutUint64(question[8:], uint64(time.Now().UnixNano()))
			if _, err := conn.Write(question[:]); err != nil {
				return
			}
			select {
			case answer := <-conn.echoes:
				answered[index] = bytes.Equal(question[:], answer[:])
			case <-conn.ended:
			case <-time.After(30 * time.Second):
			}
		})
	}
	asking.Wait()
	report := map[string]any{"event": "echoed", "answered": 0, "failed": 0, "ended": 0}
	for index := range held {
		switch {
		case ended[index]:
			report["ended"] = report["ended"].(int) + 1
		case answered[index]:
			report["answered"] = report["answered"].(int) + 1
		default:
			report["failed"] = report["failed"].(int) + 1
		}
	}
	return report
}
