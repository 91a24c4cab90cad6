#!/usr/bin/env bash
# A kind cluster whose kube-apiservers reach its nodes through Hawser: deploy/kind/up.sh [one|three], for so many control-plane nodes.
# Needs docker, kind, kubectl and node. Its name is hawser, or HAWSER_KIND_CLUSTER; `kind delete cluster --name hawser` takes it away.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
control_planes=${1:-one}
cluster=${HAWSER_KIND_CLUSTER:-hawser}
config=cluster-$control_planes.yaml
if [ ! -f "$config" ]; then
  echo "up.sh: the number of control-plane nodes is one or three, not $control_planes" >&2
  exit 1
fi
version=$(node -p 'require("../../package.json").version')
images=()
for half in server agent; do
  image=docker.io/hawser/proxy-$half:$version
  docker build -f ../docker/Dockerfile --target "proxy-$half" -t "$image" ../..
  images+=("$image")
done
kind create cluster --name "$cluster" --config "$config"
kind load docker-image --name "$cluster" "${images[@]}"
kubectl() { command kubectl --context "kind-$cluster" "$@"; }
kubectl apply -k ../kustomize/server
kubectl apply -k ../kustomize/agent-daemonset
# Servers are ready once they have agents, so that this is the last thing to come true.
kubectl -n kube-system rollout status daemonset/konnectivity-agent --timeout=180s
kubectl -n kube-system rollout status daemonset/konnectivity-server --timeout=180s
