package client

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
)

type firstSpeakerResult struct {
	Connections int `json:"connections"`
	Complete    int `json:"complete"`
	Lost        int `json:"lost"`
}

func firstSpeakerCommand(flags *flag.FlagSet) func() (any, error) {
	reach := frontendFlags(flags)
	target := flags.String("target", "", "HOST:PORT of the banner endpoint")
	count := flags.Int("connections", 300, "how many, one after the other")
	return func() (any, error) {
		through, err := reach.dialer()
		if err != nil {
			return nil, err
		}
		result := firstSpeakerResult{Connections: *count}
		var failures []error
		for index := range *count {
			if err := readBanner(through, *target); err != nil {
				result.Lost++
				if len(failures) < 5 {
					failures = append(failures, fmt.Errorf("connection %d: %w", index, err))
				}
				continue
			}
			result.Complete++
		}
		return result, errors.Join(failures...)
	}
}

func readBanner(through Dialer, target string) (err error) {
	conn, err := dialTarget(through, target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeTimely(conn)) }()
	return checkBanner(conn)
}

func checkBanner(conn net.Conn) error {
	var banner [bannerLength]byte
	if read, err := io.ReadFull(conn, banner[:]); err != nil {
		return fmt.Errorf("%d of %d banner bytes: %w", read, bannerLength, err)
	}
	if sha256.Sum256(banner[:bannerLength/2]) != [sha256.Size]byte(banner[bannerLength/2:]) {
		return fmt.Errorf("the banner was altered: %x", banner)
	}
	return nil
}
