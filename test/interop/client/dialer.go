package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"time"
)

// A Dialer opens one connection through the proxy to a target "host:port". Cancelling ctx abandons the dial in the
// way that kind allows; once Dial has returned, ctx has no further effect on the connection.
type Dialer interface {
	Dial(ctx context.Context, target string, how Abandonment) (net.Conn, error)
}

// Abandonment says what a cancelled dial does. It matters to a dialer that knows more ways than one.
type Abandonment int

const (
	AbandonRequest Abandonment = iota // the dial alone: the client library sends DIAL_CLS, then drops its stream
	AbandonTunnel                     // the whole stream at once: RST_STREAM, as a reusable tunnel does
)

// Dialers holds, by the name that --proto takes, how each kind of dialer is made.
type Dialers map[string]func(Frontend) (Dialer, error)

// Frontend is where the proxy server listens, as the flags say it.
type Frontend struct {
	UDS, TCP string
	// Config is the path of an egress selector configuration, which says the rest by itself.
	Config string

	cert, key, ca, protocol string
}

func frontendFlags(flags *flag.FlagSet) *Frontend {
	var f Frontend
	flags.StringVar(&f.UDS, "uds", "", "path of the proxy's Unix socket")
	flags.StringVar(&f.TCP, "tcp", "", "HOST:PORT of the proxy's TLS listener")
	flags.StringVar(&f.Config, "egress-config", "", "egress selector configuration, in place of --uds and --tcp")
	flags.StringVar(&f.cert, "cert", "", "client certificate for --tcp")
	flags.StringVar(&f.key, "key", "", "its key")
	flags.StringVar(&f.ca, "ca", "", "CA bundle that the proxy's certificate is verified with")
	flags.StringVar(&f.protocol, "proto", "grpc", "kind of dialer")
	return &f
}

func (f *Frontend) dialer() (Dialer, error) {
	given := 0
	for _, place := range []string{f.UDS, f.TCP, f.Config} {
		if place != "" {
			given++
		}
	}
	if given != 1 && f.protocol != "direct" {
		return nil, errors.New("exactly one of --uds, --tcp and --egress-config is needed")
	}
	newDialer, known := dialers[f.protocol]
	if !known {
		return nil, fmt.Errorf("unknown --proto %q", f.protocol)
	}
	return newDialer(*f)
}

// TLS reads the certificates for --tcp. It is nil without --tcp.
func (f Frontend) TLS() (*tls.Config, error) {
	if f.TCP == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, err
	}
	roots, err := loadRoots(f.ca)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(f.TCP)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: host}, nil
}

func loadRoots(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", path)
	}
	return roots, nil
}

// dialTarget dials with a limit above the client library's own backstop of 30 s, so that the library's verdict is seen.
func dialTarget(through Dialer, target string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	return through.Dial(ctx, target, AbandonRequest)
}

// dialAll opens so many connections, one after the other.
func dialAll(through Dialer, target string, count int) ([]net.Conn, error) {
	open := make([]net.Conn, count)
	for index := range open {
		conn, err := dialTarget(through, target)
		if err != nil {
			return nil, fmt.Errorf("connection %d: %w", index, err)
		}
		open[index] = conn
	}
	return open, nil
}

// closeTimely closes a connection. The client library returns an error in two cases: the tunnel had already ended,
// which is a normal end, and no CLOSE_RSP came within 10 s, which is the server's fault and is returned.
func closeTimely(conn net.Conn) error {
	began := time.Now()
	if err := conn.Close(); err != nil && time.Since(began) > 5*time.Second {
		return fmt.Errorf("close took %v: %w", time.Since(began).Round(time.Millisecond), err)
	}
	return nil
}
