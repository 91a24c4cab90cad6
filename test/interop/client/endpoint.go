package client

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync/atomic"
)

const (
	transferHeadLength = 24 // bytes up, bytes down, seed: three big-endian 64-bit numbers
	transferChunk      = 32 * 1024
	closingSeed        = 11
	bannerLength       = 64 // 32 random bytes and their SHA-256
)

// endpoints are the TCP servers behind the agent. Each serves one behaviour on a port of its own.
type endpoints struct {
	accepted, open atomic.Int64
	ears           *alarm
}

func endpointCommand(flags *flag.FlagSet) func() (any, error) {
	host := flags.String("host", "127.0.0.1", "address to listen on")
	return func() (any, error) {
		served := endpoints{ears: newAlarm()}
		addresses := map[string]string{}
		for name, serve := range map[string]func(net.Conn) error{
			"echo": serveEcho, "transfer": serveTransfer, "banner": serveBanner,
			"closing": serveClosing, "narrow": serveNarrow, "discard": waitForEnd, "source": serveSource, "flood": serveFlood, "deaf": served.serveDeaf, "reset": serveReset,
		} {
			listen := net.ListenConfig{}
			if name == "deaf" || name == "narrow" {
				listen.Control = shortSegments
			}
			listener, err := listen.Listen(context.Background(), "tcp", net.JoinHostPort(*host, "0"))
			if err != nil {
				return nil, err
			}
			addresses[name] = listener.Addr().String()
			go served.accept(listener, serve)
		}
		unanswering, err := listenUnanswering(*host)
		if err != nil {
			return nil, err
		}
		addresses["unanswering"] = unanswering
		printLine(addresses)
		commands := bufio.NewScanner(os.Stdin)
		for commands.Scan() {
			switch strings.TrimSpace(commands.Text()) {
			case "count":
				printLine(map[string]int64{"accepted": served.accepted.Load(), "open": served.open.Load()})
			case "wake":
				served.ears.ring()
			}
		}
		return nil, commands.Err()
	}
}

func (e *endpoints) accept(listener net.Listener, serve func(net.Conn) error) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			printResult(nil, err)
		}
		e.accepted.Add(1)
		e.open.Add(1)
		go func() {
			defer e.open.Add(-1)
			defer conn.Close()
			_ = serve(conn) // the other end sees what went wrong, and that is where it is judged
		}()
	}
}

func serveEcho(conn net.Conn) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}, make([]byte, 32*1024))
	return err
}

// serveTransfer sends the asked-for bytes and their digest, and at the same time receives the announced bytes; when
// both are done it sends the digest of what it received.
func serveTransfer(conn net.Conn) error {
	var head [transferHeadLength]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	up, down := int64(binary.BigEndian.Uint64(head[:])), int64(binary.BigEndian.Uint64(head[8:]))
	sent, received := sha256.New(), sha256.New()
	receiving := make(chan error, 1)
	go func() { receiving <- receive(conn, up, received) }()
	if err := newPattern(binary.BigEndian.Uint64(head[16:])).send(conn, down, transferChunk, sent); err != nil {
		return err
	}
	if _, err := conn.Write(sent.Sum(nil)); err != nil {
		return err
	}
	if err := <-receiving; err != nil {
		return err
	}
	if _, err := conn.Write(received.Sum(nil)); err != nil {
		return err
	}
	return waitForEnd(conn)
}

// serveBanner speaks first, in a single write, and then waits for the other end to go.
func serveBanner(conn net.Conn) error {
	banner := make([]byte, 0, bannerLength)
	for range 4 {
		banner = binary.BigEndian.AppendUint64(banner, rand.Uint64())
	}
	digest := sha256.Sum256(banner)
	if _, err := conn.Write(append(banner, digest[:]...)); err != nil {
		return err
	}
	return waitForEnd(conn)
}

// serveClosing sends as many seeded bytes as the eight bytes that it reads say, then closes.
func serveClosing(conn net.Conn) error {
	var head [8]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	return newPattern(closingSeed).send(conn, int64(binary.BigEndian.Uint64(head[:])), transferChunk, sha256.New())
}

func waitForEnd(conn net.Conn) error {
	_, err := io.Copy(io.Discard, conn)
	return err
}
