package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
)

// NewConnectDialer makes dialers of kind "connect".
func NewConnectDialer(f Frontend) (Dialer, error) {
	tlsConfig, err := f.TLS()
	if err != nil {
		return nil, err
	}
	return connectDialer{uds: f.UDS, tcp: f.TCP, tls: tlsConfig}, nil
}

// connectDialer speaks HTTP CONNECT with kube-apiserver's request and kube-apiserver's strictness: status 200, and not
// one byte behind the response head.
type connectDialer struct {
	uds, tcp string
	tls      *tls.Config
}

func (d connectDialer) Dial(ctx context.Context, target string, _ Abandonment) (net.Conn, error) {
	conn, err := d.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("reach proxy: %w", err)
	}
	// A cancelled dial closes its socket. stop reports false if that has happened or is happening.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	err = handshake(conn, target)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func (d connectDialer) open(ctx context.Context) (net.Conn, error) {
	if d.uds != "" {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.uds)
	}
	return (&tls.Dialer{Config: d.tls}).DialContext(ctx, "tcp", d.tcp)
}

func handshake(conn net.Conn, target string) error {
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", target); err != nil {
		return fmt.Errorf("write CONNECT: %w", err)
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return fmt.Errorf("read CONNECT response: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
		return fmt.Errorf("CONNECT answered %s: %s", response.Status, text)
	}
	if extra := reader.Buffered(); extra > 0 {
		return fmt.Errorf("%d bytes came together with the CONNECT response", extra)
	}
	return nil
}
