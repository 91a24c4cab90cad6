package main

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// The longest packet and the header before it.
	packetMax = 64<<10 + 64
	// What may be under way: a second at 128 MB/s, or 50 ms at 2.5 GB/s. It is touched, and so takes memory, only as far as it is used.
	roomBytes = 128 << 20
	// A line that is this full makes its device wait, whose queue is then the caller's to size.
	packetsMax = 128 << 10
)

type packet struct {
	due  time.Time
	at   int
	size int
	// Bytes that its end gives back to the room: its own, and those that were left over before it at the end of the room.
	frees int
}

// line holds packets in the order in which they came, each until its time.
type line struct {
	delay time.Duration
	// Bytes a second; no limit if 0.
	rate    float64
	room    []byte
	packets chan packet
	mutex   sync.Mutex
	freed   *sync.Cond
	used    int
}

func newLine(delay time.Duration, rate float64) *line {
	l := &line{delay: delay, rate: rate, room: make([]byte, roomBytes), packets: make(chan packet, packetsMax)}
	l.freed = sync.NewCond(&l.mutex)
	return l
}

func (l *line) fill(from *os.File) error {
	at := 0
	// When the packets before have all been put on the wire.
	var free time.Time
	for {
		left := 0
		if at+packetMax > len(l.room) {
			left, at = len(l.room)-at, 0
		}
		l.waitForRoom(left + packetMax)
		size, err := from.Read(l.room[at : at+packetMax])
		if err != nil {
			return err
		}
		l.mutex.Lock()
		l.used += left + size
		l.mutex.Unlock()
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		if l.rate > 0 {
			free = free.Add(time.Duration(float64(size) / l.rate * 1e9))
		}
		l.packets <- packet{due: free.Add(l.delay), at: at, size: size, frees: left + size}
		at += size
	}
}

func (l *line) empty(to *os.File) error {
	for next := range l.packets {
		// Go's own timers are late by up to a millisecond, the kernel's by some 60 us.
		for wait := time.Until(next.due); wait > 0; wait = time.Until(next.due) {
			span := syscall.NsecToTimespec(wait.Nanoseconds())
			_ = syscall.Nanosleep(&span, nil)
		}
		_, err := to.Write(l.room[next.at : next.at+next.size])
		// A device that is not up yet, or whose namespace has no such protocol, refuses packets; a wire would lose them.
		if err != nil && !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.EINVAL) {
			return err
		}
		l.mutex.Lock()
		l.used -= next.frees
		l.mutex.Unlock()
		l.freed.Signal()
	}
	return nil
}

func (l *line) waitForRoom(size int) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for l.used+size > len(l.room) {
		l.freed.Wait()
	}
}
