// Command apiserver-client is the client of the interop tests with the egress selector of k8s.io/apiserver, which is the
// very code by which kube-apiserver reaches a proxy server. One module file for each version beside this.
package main

import (
	"context"
	"fmt"
	"net"

	"hawser.test/client"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/server/egressselector"
)

func main() {
	client.Main(client.Dialers{"egress": newEgressDialer})
}

// egressDialer dials as kube-apiserver does towards nodes, pods and services. It abandons a dial in its own way.
type egressDialer struct {
	dialCluster utilnet.DialFunc
}

func newEgressDialer(f client.Frontend) (client.Dialer, error) {
	config, err := egressselector.ReadEgressSelectorConfiguration(f.Config)
	if err != nil {
		return nil, err
	}
	if errs := egressselector.ValidateEgressSelectorConfiguration(config); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	selector, err := egressselector.NewEgressSelector(config)
	if err != nil {
		return nil, err
	}
	dialCluster, err := selector.Lookup(egressselector.Cluster.AsNetworkContext())
	if err != nil {
		return nil, err
	}
	if dialCluster == nil {
		return nil, fmt.Errorf("%s selects no egress for the cluster", f.Config)
	}
	return egressDialer{dialCluster}, nil
}

func (d egressDialer) Dial(ctx context.Context, target string, _ client.Abandonment) (net.Conn, error) {
	return d.dialCluster(ctx, "tcp", target)
}
