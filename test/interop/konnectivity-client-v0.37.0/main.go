// Command konnectivity-client, of the first version that has them, dials through one reusable tunnel: one connection to
// the proxy for the whole process, a stream on it for each dial, and a reset of that stream when it is done.
package main

import (
	"context"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"hawser.test/client"
	konnectivity "sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/client"
)

func main() {
	client.Main(client.Dialers{"reusable": newReusableDialer})
}

type reusableDialer struct {
	tunnel konnectivity.ReusableTunnel
}

func newReusableDialer(f client.Frontend) (client.Dialer, error) {
	if f.UDS == "" {
		return nil, errors.New("a reusable tunnel needs --uds")
	}
	// kube-apiserver's limit for reaching the proxy server.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	toSocket := func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", f.UDS)
	}
	tunnel, err := konnectivity.CreateGRPCTunnel(ctx, f.UDS, grpc.WithBlock(), grpc.WithReturnConnectionError(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(toSocket))
	if err != nil {
		return nil, err
	}
	return reusableDialer{tunnel}, nil
}

func (d reusableDialer) Dial(ctx context.Context, target string, _ client.Abandonment) (net.Conn, error) {
	return d.tunnel.DialContext(ctx, "tcp", target)
}
