import { ValueError } from "../options/value-error.ts";

/** What of a `coordination.k8s.io/v1` Lease counts here. It comes from outside: any field may be missing, and a time be none. */
export interface Lease {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    /** MicroTime, as is `renewTime`. */
    readonly acquireTime?: string | null;
    readonly renewTime?: string | null;
  };
}

export interface LeaseList {
  readonly metadata: { readonly resourceVersion: string };
  /** Null where a Go server has an empty list. */
  readonly items: readonly Lease[] | null;
}

/** Milliseconds since 1970. Leases are compared between machines, so the monotonic clock cannot serve. */
export type WallClock = () => number;

/** The path of a namespace's leases; an empty name means all namespaces. */
export function leasesPath(namespace: string): string {
  const scope = namespace === "" ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  return `/apis/coordination.k8s.io/v1${scope}/leases`;
}

export function leasePath(namespace: string, name: string): string {
  return `${leasesPath(namespace)}/${encodeURIComponent(name)}`;
}

/**
 * When the lease runs out, in milliseconds since 1970: its duration after the holder renewed, or else acquired, it.
 * NaN, with which every comparison is false, if it has no duration, no time, or a time that is none. Source: the reference.
 */
function leaseExpiresAt({ spec }: Lease): number {
  return parseTime(spec?.renewTime ?? spec?.acquireTime) + Number(spec?.leaseDurationSeconds) * 1000;
}

export function isLeaseValid(lease: Lease, nowMs: number): boolean {
  return leaseExpiresAt(lease) > nowMs;
}

// RFC 3339 with seconds; Date.parse alone would take "1" for a year.
const timeShape = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

function parseTime(text: unknown): number {
  return typeof text === "string" && timeShape.test(text) ? Date.parse(text) : Number.NaN;
}

/** A time as MicroTime is written: `2006-01-02T15:04:05.000000Z`. */
export function microTime(epochMs: number): string {
  return new Date(epochMs).toISOString().replace("Z", "000Z");
}

/**
 * Reads `key=value,key=value`, blanks around each dropped; of a key given twice the last counts.
 * Throws ValueError. Source: the reference.
 */
export function parseLabels(text: string): Readonly<Record<string, string>> {
  if (text === "") throw new ValueError("empty string provided");
  const pairs = text.split(",").map((pair) => {
    const [key = "", value, ...more] = pair.split("=");
    if (value === undefined || more.length > 0) throw new ValueError(`invalid label format: ${pair}`);
    return [key.trim(), value.trim()] as const;
  });
  return Object.fromEntries(pairs);
}

/** A selector of what bears all these labels. */
export function selectorOf(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
}
