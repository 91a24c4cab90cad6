package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"hawser.test/client"
	konnectivity "sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/client"
)

// createTimeout is kube-apiserver's limit for reaching the proxy server.
const createTimeout = 30 * time.Second

// grpcDialer opens a single-use tunnel for each connection, as kube-apiserver does.
type grpcDialer struct {
	uds, tcp string
	tls      *tls.Config
}

func newGrpcDialer(f client.Frontend) (client.Dialer, error) {
	tlsConfig, err := f.TLS()
	if err != nil {
		return nil, err
	}
	return grpcDialer{uds: f.UDS, tcp: f.TCP, tls: tlsConfig}, nil
}

func (d grpcDialer) Dial(ctx context.Context, target string, how client.Abandonment) (net.Conn, error) {
	address, options := d.transport()
	createCtx, cancelCreate := context.WithTimeout(ctx, createTimeout)
	defer cancelCreate()
	tunnelCtx, endTunnel := context.WithCancel(context.Background())
	requestCtx := ctx
	if how == client.AbandonTunnel {
		stop := context.AfterFunc(ctx, endTunnel)
		defer stop()
		requestCtx = context.Background()
	}
	tunnel, err := konnectivity.CreateSingleUseGrpcTunnelWithContext(createCtx, tunnelCtx, address, options...)
	if err != nil {
		endTunnel()
		return nil, fmt.Errorf("create tunnel: %w", err)
	}
	conn, err := tunnel.DialContext(requestCtx, "tcp", target)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("dial: %w", err), abandonUnused(tunnel, endTunnel))
	}
	return &tunnelConn{Conn: conn, endTunnel: endTunnel}, nil
}

func (d grpcDialer) transport() (string, []grpc.DialOption) {
	options := []grpc.DialOption{grpc.WithBlock(), grpc.WithReturnConnectionError()}
	if d.uds == "" {
		return d.tcp, append(options, grpc.WithTransportCredentials(credentials.NewTLS(d.tls)))
	}
	toSocket := func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.uds)
	}
	return d.uds, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(toSocket))
}

// abandonUnused waits until a tunnel without a connection has closed itself, so that its last packet is out; a tunnel
// that does not is ended and reported.
func abandonUnused(tunnel konnectivity.Tunnel, endTunnel context.CancelFunc) error {
	defer endTunnel()
	select {
	case <-tunnel.Done():
		return nil
	case <-time.After(5 * time.Second):
		return errors.New("the tunnel of a failed dial stayed open for 5 s")
	}
}

// tunnelConn releases the tunnel's context together with its only connection.
type tunnelConn struct {
	net.Conn
	endTunnel context.CancelFunc
}

func (c *tunnelConn) Close() error {
	defer c.endTunnel()
	return c.Conn.Close()
}
