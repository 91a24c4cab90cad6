package client

import (
	"flag"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// delayCommand stands between two hosts as a long path does: each way passes on what came, so much later, in order. What
// is under way in it has a bound, past which it does not read.
func delayCommand(flags *flag.FlagSet) func() (any, error) {
	to := flags.String("to", "", "HOST:PORT to pass connections on to")
	delay := flags.Duration("delay", 15*time.Millisecond, "each way")
	return func() (any, error) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		printLine(map[string]any{"event": "listening", "port": listener.Addr().(*net.TCPAddr).Port})
		go func() {
			for {
				near, err := listener.Accept()
				if err != nil {
					return
				}
				go passOn(near, *to, *delay)
			}
		}()
		_, err = io.Copy(io.Discard, os.Stdin)
		return map[string]any{}, err
	}
}

func passOn(near net.Conn, to string, delay time.Duration) {
	defer near.Close()
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer far.Close()
	var both sync.WaitGroup
	both.Go(func() { passLater(far, near, delay) })
	both.Go(func() { passLater(near, far, delay) })
	both.Wait()
}

type delayed struct {
	due  time.Time
	data []byte
}

// passLater copies until `from` ends or `to` breaks, and ends `to`.
func passLater(to, from net.Conn, delay time.Duration) {
	const (
		pieceBytes = 64 * 1024
		piecesMax  = 1024 // 64 MB: more than two windows of the largest size
	)
	underWay := make(chan delayed, piecesMax)
	go func() {
		defer close(underWay)
		for {
			piece := make([]byte, pieceBytes)
			count, err := from.Read(piece)
			if count > 0 {
				underWay <- delayed{time.Now().Add(delay), piece[:count]}
			}
			if err != nil {
				return
			}
		}
	}()
	broken := false
	for next := range underWay {
		time.Sleep(time.Until(next.due))
		if broken {
			continue
		}
		if _, err := to.Write(next.data); err != nil {
			broken = true
			_ = from.Close()
		}
	}
	_ = to.(*net.TCPConn).CloseWrite()
}
