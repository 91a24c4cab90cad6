//go:build tools

// Package tools pins the kube-apiserver that answers token reviews and keeps leases in the tests.
package tools

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
