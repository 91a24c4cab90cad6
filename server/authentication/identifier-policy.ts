import type { AgentIdentifiers } from "../../shared/konnectivity/agent-identifiers.ts";
import { cleanErrorText } from "../../shared/konnectivity/dial-error-text.ts";
import type { PeerIdentity } from "../../shared/tls/identity.ts";
import { canonicalHost } from "../routing/destination.ts";
import type { TokenAccount } from "./token-review.ts";

/** What an agent may claim by its identifiers: anything, or only what it has proved to be. */
export const identifierPolicies = ["any", "own-node"] as const;
export type IdentifierPolicy = (typeof identifierPolicies)[number];

/** How an agent has proved who it is. */
export type AgentProof =
  | { readonly kind: "certificate"; readonly identity: PeerIdentity }
  | { readonly kind: "token"; readonly account: TokenAccount };

/** How Kubernetes names a node in a certificate. */
const nodePrefix = "system:node:";
const policy = "(--agent-identifier-policy=own-node)";
const claimMaxLength = 253;

/**
 * For the policy `own-node`: says which identifier the agent has not proved to be its own, and what to do; undefined if it
 * has proved all. Names are compared in the form in which dials are matched with them, so that none passes that would
 * attract more than was proved. `cidr` is passed over, since it attracts nothing.
 */
export function unprovenIdentifier(identifiers: AgentIdentifiers, proof: AgentProof | undefined): string | undefined {
  if (identifiers.defaultRoute) {
    return `agent identifier default-route: no certificate or token proves a claim to every destination; leave it out ${policy}`;
  }
  const host = identifiers.host.find((name) => !isProved(name, hostNamesOf(proof)));
  if (host !== undefined) return refusal("host", host, hostEvidence(proof));
  for (const key of ["ipv4", "ipv6"] as const) {
    const address = identifiers[key].find((candidate) => !isProved(candidate, addressesOf(proof)));
    if (address !== undefined) return refusal(key, address, addressEvidence(proof));
  }
  return undefined;
}

const isProved = (claim: string, proved: readonly string[]): boolean =>
  proved.some((name) => canonicalHost(name) === canonicalHost(claim));

/** A wildcard in a certificate stands for itself: it names no node. */
function hostNamesOf(proof: AgentProof | undefined): readonly string[] {
  if (proof === undefined) return [];
  if (proof.kind === "token") return proof.account.nodeName === undefined ? [] : [proof.account.nodeName];
  const { commonName, dnsNames } = proof.identity;
  return commonName.startsWith(nodePrefix) ? [...dnsNames, commonName.slice(nodePrefix.length)] : dnsNames;
}

/** The review of a token speaks of a node's name alone. Node objects have addresses, but those that the node itself reports. */
const addressesOf = (proof: AgentProof | undefined): readonly string[] =>
  proof?.kind === "certificate" ? proof.identity.ipAddresses : [];

/** Claim and names are texts from outside, so all is cut and cleaned. */
const refusal = (key: string, claim: string, evidence: string): string =>
  cleanErrorText(`agent identifier ${key}=${claim.slice(0, claimMaxLength)} is not proved ${policy}: ${evidence}`);

function hostEvidence(proof: AgentProof | undefined): string {
  if (proof?.kind !== "token") return certificateEvidence(hostNamesOf(proof), proof);
  const { nodeName } = proof.account;
  return nodeName === undefined
    ? "kube-apiserver names no node for the agent's token, as it does from Kubernetes 1.30 on for tokens bound to a pod"
    : `the agent's token is bound to the node ${nodeName}`;
}

function addressEvidence(proof: AgentProof | undefined): string {
  if (proof?.kind !== "token") return certificateEvidence(addressesOf(proof), proof);
  return "a token proves the name of a node and no address; leave the identifier out, or authenticate agents by certificates";
}

function certificateEvidence(names: readonly string[], proof: AgentProof | undefined): string {
  if (proof === undefined) return "the agent has shown neither certificate nor token";
  const held = names.length === 0 ? "has no such name" : `proves only ${names.join(", ")}`;
  return `the agent's certificate ${held}; issue one that has the name, or leave the identifier out`;
}
