//go:build tools

// Package kustomize pins the program that renders the bases in the tests.
package kustomize

import _ "sigs.k8s.io/kustomize/kustomize/v5"
