import { describe, expect, it } from "vitest";
import { type AgentProof, unprovenIdentifier } from "../../../../server/authentication/identifier-policy.ts";
import { parseAgentIdentifiers } from "../../../../shared/konnectivity/agent-identifiers.ts";

const certificate = (names: {
  readonly commonName?: string;
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
}): AgentProof => ({
  kind: "certificate",
  identity: { commonName: "", dnsNames: [], ipAddresses: [], uris: [], fingerprint256: "", ...names },
});
const token = (nodeName: string | undefined): AgentProof => ({
  kind: "token",
  account: { username: "system:serviceaccount:kube-system:konnectivity-agent", nodeName },
});
const refusal = (identifiers: string, proof: AgentProof | undefined) =>
  unprovenIdentifier(parseAgentIdentifiers(identifiers), proof);

const node1 = certificate({
  commonName: "agent",
  dnsNames: ["node-1", "*.nodes.example"],
  ipAddresses: ["10.0.0.1", "fd00::1"],
});

describe("what an agent has proved to be", () => {
  it.each<[string, AgentProof | undefined]>([
    ["", undefined],
    ["cidr=10.0.0.0/8&uid=1&default-route=false", undefined],
    ["default-route=no", undefined],
    ["host=node-1&host=NODE-1&ipv4=10.0.0.1&ipv6=fd00::1", node1],
    ["ipv6=FD00:0:0::0001", node1],
    ["host=node-2", certificate({ commonName: "system:node:node-2" })],
    ["host=Node-2", certificate({ commonName: "system:node:node-2" })],
    ["host=node-3", token("node-3")],
  ])("may be claimed: %j", (identifiers, proof) => {
    expect(refusal(identifiers, proof)).toBeUndefined();
  });

  it.each<[string, AgentProof | undefined, string]>([
    ["host=node-1&host=node-2", node1, "host=node-2"],
    ["host=agent", node1, "host=agent"],
    ["host=a.nodes.example", node1, "host=a.nodes.example"],
    ["host=10.0.0.1", node1, "host=10.0.0.1"],
    ["host=", node1, "host="],
    ["ipv4=10.0.0.2", node1, "ipv4=10.0.0.2"],
    ["ipv4=node-1", node1, "ipv4=node-1"],
    ["ipv6=fd00::2", node1, "ipv6=fd00::2"],
    ["ipv6=::ffff:10.0.0.1", node1, "ipv6=::ffff:10.0.0.1"],
    ["host=system:node:node-2", certificate({ commonName: "system:node:node-2" }), "host=system:node:node-2"],
    ["host=node-2", certificate({ commonName: "node-2" }), "host=node-2"],
    ["host=", certificate({ commonName: "x:system:node:" }), "host="],
    ["default-route=true", node1, "default-route"],
    ["default-route=1&default-route=false", token("node-3"), "default-route"],
    ["host=node-4", token("node-3"), "host=node-4"],
    ["host=node-3", token(undefined), "host=node-3"],
    ["ipv4=10.0.0.1", token("node-3"), "ipv4=10.0.0.1"],
    ["host=node-1", undefined, "host=node-1"],
    ["ipv6=::1", undefined, "ipv6=::1"],
  ])("is all that may be claimed: not %j", (identifiers, proof, claim) => {
    const text = refusal(identifiers, proof) ?? "";
    expect(text.startsWith(`agent identifier ${claim}${claim === "default-route" ? ":" : " "}`)).toBe(true);
    expect(text).toContain("(--agent-identifier-policy=own-node)");
  });
});

describe("the refusal says why", () => {
  it.each<[string, AgentProof | undefined, string]>([
    ["host=node-2", node1, "the agent's certificate proves only node-1, *.nodes.example; issue one that has the name"],
    ["ipv4=10.0.0.2", node1, "the agent's certificate proves only 10.0.0.1, fd00::1; "],
    ["ipv4=10.0.0.2", certificate({}), "the agent's certificate has no such name; "],
    ["host=node-4", token("node-3"), "the agent's token is bound to the node node-3"],
    ["host=node-3", token(undefined), "kube-apiserver names no node for the agent's token"],
    ["ipv4=10.0.0.1", token("node-3"), "a token proves the name of a node and no address"],
    ["host=node-1", undefined, "the agent has shown neither certificate nor token"],
    ["default-route=true", node1, "no certificate or token proves a claim to every destination"],
  ])("for %j", (identifiers, proof, text) => {
    expect(refusal(identifiers, proof)).toContain(text);
  });

  it("short and clean, whatever the claim is", () => {
    const text = refusal(`host=${"%0d%0a".repeat(300)}${"x".repeat(2000)}`, node1) ?? "";
    expect(text.length).toBeLessThan(600);
    expect(text).not.toMatch(/\p{Cc}/u);
    expect(text).toContain("own-node");
  });
});
