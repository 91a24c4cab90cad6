package client

import (
	"net"
	"sync"
	"syscall"
)

// smallBuffer lets a connection that nobody reads be full soon.
const smallBuffer = 64 * 1024

// ethernetSegment is the longest segment on most networks; loopback's are 45 times as long.
const ethernetSegment = 1460

// shortSegments lets peers of a listener's connections buffer what they would on a network: Linux takes twenty segments for
// the least that a sender may have waiting, 1.3 MB on loopback.
func shortSegments(_, _ string, listener syscall.RawConn) error {
	var failure error
	err := listener.Control(func(descriptor uintptr) {
		failure = syscall.SetsockoptInt(int(descriptor), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, ethernetSegment)
	})
	if err != nil {
		return err
	}
	return failure
}

// serveNarrow is serveTransfer for thousands of connections: with buffers of megabytes each they would use up what the
// kernel has for all of TCP, and then every connection of the machine crawls.
func serveNarrow(conn net.Conn) error {
	if err := conn.(*net.TCPConn).SetWriteBuffer(smallBuffer); err != nil {
		return err
	}
	return serveTransfer(conn)
}

// serveSource is serveFlood with little buffered by the kernel.
func serveSource(conn net.Conn) error {
	if err := conn.(*net.TCPConn).SetWriteBuffer(smallBuffer); err != nil {
		return err
	}
	return sendWithoutEnd(conn)
}

// serveFlood sends without end, from the first byte that it reads: bytes that come unasked some versions of the reference
// pass on before their answer to a CONNECT.
func serveFlood(conn net.Conn) error {
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return err
	}
	return sendWithoutEnd(conn)
}

func sendWithoutEnd(conn net.Conn) error {
	piece := []byte(newPattern(1))[:transferChunk]
	for {
		if _, err := conn.Write(piece); err != nil {
			return err
		}
	}
}

// serveDeaf reads nothing until the next "wake" on stdin, and everything from then on.
func (e *endpoints) serveDeaf(conn net.Conn) error {
	if err := conn.(*net.TCPConn).SetReadBuffer(smallBuffer); err != nil {
		return err
	}
	<-e.ears.next()
	return waitForEnd(conn)
}

// serveReset answers its first byte with RST.
func serveReset(conn net.Conn) error {
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return err
	}
	return conn.(*net.TCPConn).SetLinger(0)
}

// An alarm wakes all that wait for it at that moment.
type alarm struct {
	lock sync.Mutex
	rung chan struct{}
}

func newAlarm() *alarm {
	return &alarm{rung: make(chan struct{})}
}

// next is closed when the alarm rings.
func (a *alarm) next() <-chan struct{} {
	a.lock.Lock()
	defer a.lock.Unlock()
	return a.rung
}

func (a *alarm) ring() {
	a.lock.Lock()
	defer a.lock.Unlock()
	close(a.rung)
	a.rung = make(chan struct{})
}
