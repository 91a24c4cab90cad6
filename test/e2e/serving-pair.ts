import { type IssuedPair, issueCertificate } from "../../shared/tls/issue.ts";
import type { Workspace } from "../support/workspace.ts";
import { readCa } from "./node-files.ts";

/** The service by which kube-apiserver finds what the pods serve. */
export const serviceName = "e2e";

/** What the pods' server shows, for kube-apiserver that calls it as a service. It is vouched for by the endpoint CA. */
export function issueServingPair({ certificates }: Workspace): IssuedPair {
  const names = [`${serviceName}.default.svc`];
  const ca = readCa(certificates.endpointCa);
  return issueCertificate(ca, { commonName: serviceName, validityDays: 1, usages: ["server"], names });
}
