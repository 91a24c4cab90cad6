package client

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"flag"
	"io"
	"net"
	"net/http"
	"sync"
)

type httpResult struct {
	Status int    `json:"status"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// httpCommand fails on a certificate that --endpoint-ca does not vouch for: the tunnel carries TLS and never ends it.
func httpCommand(flags *flag.FlagSet) func() (any, error) {
	reach := frontendFlags(flags)
	url := flags.String("url", "", "what to GET")
	endpointCA := flags.String("endpoint-ca", "", "CA bundle that the endpoint's certificate is verified with")
	return func() (any, error) {
		through, err := reach.dialer()
		if err != nil {
			return nil, err
		}
		var open sync.WaitGroup
		defer open.Wait()
		transport, err := freshTransport(through, *endpointCA, &open)
		if err != nil {
			return nil, err
		}
		response, err := (&http.Client{Transport: transport}).Get(*url)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return nil, err
		}
		digest := sha256.Sum256(body)
		return httpResult{response.StatusCode, len(body), hex.EncodeToString(digest[:])}, nil
	}
}

// freshTransport makes a connection for each request. net/http closes connections on goroutines of its own: the process
// must not end before `open` is done.
func freshTransport(through Dialer, endpointCA string, open *sync.WaitGroup) (*http.Transport, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
			conn, err := dialTarget(through, address)
			if err != nil {
				return nil, err
			}
			open.Add(1)
			return &countedConn{Conn: conn, closed: sync.OnceFunc(open.Done)}, nil
		},
	}
	if endpointCA != "" {
		roots, err := loadRoots(endpointCA)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return transport, nil
}

// countedConn tells when its close is complete.
type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
