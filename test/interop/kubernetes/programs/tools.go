//go:build tools

// Package tools pins the programs of Kubernetes that the tests run. Each is built by itself, where a test asks for it.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
	_ "k8s.io/kubernetes/cmd/kubelet"
)
