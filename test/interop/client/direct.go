package client

import (
	"context"
	"net"
)

// NewDirectDialer makes dialers of kind "direct", which reach the target without a proxy: what the machine itself gives.
func NewDirectDialer(Frontend) (Dialer, error) {
	return directDialer{}, nil
}

type directDialer struct {
	net.Dialer
}

func (d directDialer) Dial(ctx context.Context, target string, _ Abandonment) (net.Conn, error) {
	return d.DialContext(ctx, "tcp", target)
}
