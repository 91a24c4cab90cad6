package main

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

// A dialer opens one connection through the proxy to a target "host:port". Cancelling ctx abandons the dial in the
// way that kind allows; once Dial has returned, ctx has no further effect on the connection.
type dialer interface {
	dial(ctx context.Context, target string, how abandonment) (net.Conn, error)
}

// abandonment says what a cancelled dial does. A CONNECT dial knows one way only: it closes its socket.
type abandonment int

const (
	abandonRequest abandonment = iota // the dial alone: the client library sends DIAL_CLS, then drops its stream
	abandonTunnel                     // the whole stream at once: RST_STREAM, as a reusable tunnel does
)

// frontend is where the proxy server listens and what it speaks there.
type frontend struct {
	uds, tcp, cert, key, ca, protocol *string
}

func frontendFlags(flags *flag.FlagSet) frontend {
	return frontend{
		uds:      flags.String("uds", "", "path of the proxy's Unix socket"),
		tcp:      flags.String("tcp", "", "HOST:PORT of the proxy's TLS listener"),
		cert:     flags.String("cert", "", "client certificate for --tcp"),
		key:      flags.String("key", "", "its key"),
		ca:       flags.String("ca", "", "CA bundle that the proxy's certificate is verified with"),
		protocol: flags.String("proto", "grpc", "grpc, connect, or direct for no proxy at all"),
	}
}

func (f frontend) dialer() (dialer, error) {
	if *f.protocol == "direct" {
		return directDialer{}, nil
	}
	if (*f.uds == "") == (*f.tcp == "") {
		return nil, errors.New("exactly one of --uds and --tcp is needed")
	}
	var tlsConfig *tls.Config
	if *f.tcp != "" {
		var err error
		if tlsConfig, err = f.clientTLS(); err != nil {
			return nil, err
		}
	}
	switch *f.protocol {
	case "grpc":
		return grpcDialer{uds: *f.uds, tcp: *f.tcp, tls: tlsConfig}, nil
	case "connect":
		return connectDialer{uds: *f.uds, tcp: *f.tcp, tls: tlsConfig}, nil
	}
	return nil, fmt.Errorf("unknown --proto %q", *f.protocol)
}

// directDialer connects to the target itself: the baseline of every figure.
type directDialer struct{}

func (directDialer) dial(ctx context.Context, target string, _ abandonment) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", target)
}

func (f frontend) clientTLS() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(*f.cert, *f.key)
	if err != nil {
		return nil, err
	}
	roots, err := loadRoots(*f.ca)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(*f.tcp)
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
func dialTarget(through dialer, target string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	return through.dial(ctx, target, abandonRequest)
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
