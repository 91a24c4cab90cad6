package client

import (
	"hash"
	"io"
	"math/rand/v2"
	"sync"
)

// patternLength is prime, so that a lost, doubled or swapped chunk of any usual size changes the digest.
const patternLength = 1_048_573

// A pattern is the block that a seed's endless byte sequence repeats.
type pattern []byte

// seedCount bounds how many patterns, of a megabyte each, thousands of connections make.
const seedCount = 61

var patterns sync.Map // of pattern, by seed

func newPattern(seed uint64) pattern {
	if known, ok := patterns.Load(seed); ok {
		return known.(pattern)
	}
	block := make([]byte, patternLength)
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24), 1})
	_, _ = random.Read(block)
	patterns.Store(seed, pattern(block))
	return block
}

// send writes the first total bytes of the sequence in writes of at most chunk bytes, and feeds digest with them.
func (p pattern) send(to io.Writer, total int64, chunk int, digest hash.Hash) error {
	for sent := int64(0); sent < total; {
		offset := int(sent % patternLength)
		length := min(chunk, patternLength-offset, int(min(total-sent, patternLength)))
		piece := p[offset : offset+length]
		if _, err := to.Write(piece); err != nil {
			return err
		}
		digest.Write(piece)
		sent += int64(length)
	}
	return nil
}

// receive reads exactly total bytes into digest and nothing behind them.
func receive(from io.Reader, total int64, digest hash.Hash) error {
	read, err := io.CopyBuffer(digest, io.LimitReader(from, total), make([]byte, 64*1024))
	if err == nil && read < total {
		return io.ErrUnexpectedEOF
	}
	return err
}
