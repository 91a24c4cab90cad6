//go:build tools

// Package reference pins the reference implementation that the interop tests build and run as the other end.
package reference

import (
	_ "sigs.k8s.io/apiserver-network-proxy/cmd/agent"
	_ "sigs.k8s.io/apiserver-network-proxy/cmd/server"
)
