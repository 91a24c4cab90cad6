import type { ErrorCode } from "../errors.ts";
import type { HeldFigures } from "../stream/byte-budget.ts";
import type { CloseReport } from "../stream/splice.ts";
import type { LaneCounts } from "../tunnel/lane-state.ts";
import type { Counter } from "./instruments.ts";
import { counter, counters, type Family, type Reading, type Registry, reading, readings } from "./registry.ts";

/** The families of Hawser's own that both halves have: what became of dials and connections. */
export class ConnectionMetrics {
  /** Bytes carried, by where they go, counted as they come. */
  readonly bytes: { readonly toEndpoint: Counter; readonly toFrontend: Counter };
  /** Connections reset because their reader drained too little for too long. */
  readonly stalledResets: Counter;
  #held: HeldFigures = { heldBytes: 0, stalledCount: 0 };
  #lanes: () => Iterable<LaneCounts | undefined> = () => [];
  readonly #closed: Family<"by" | "code", Counter>;
  readonly #refused: Family<"limit", Counter>;
  readonly #dialsFailed: Family<"code", Counter>;

  constructor(registry: Registry, half: "server" | "agent") {
    const prefix = `hawser_${half}_`;
    const bytes = counters(registry, {
      name: `${prefix}bytes_total`,
      help: "Bytes of connections carried, by direction.",
      labels: ["direction"],
    });
    this.bytes = {
      toEndpoint: bytes.labelled({ direction: "to_endpoint" }),
      toFrontend: bytes.labelled({ direction: "to_frontend" }),
    };
    reading(registry, {
      type: "gauge",
      name: `${prefix}held_bytes`,
      help: "Bytes that wait in this process for readers, in queues, buffers and streams.",
      read: () => this.#held.heldBytes,
    });
    reading(registry, {
      type: "gauge",
      name: `${prefix}stalled_connections`,
      help: "Connections whose reader has taken nothing for more than a second while bytes wait for it.",
      read: () => this.#held.stalledCount,
    });
    readings(registry, {
      type: "gauge",
      name: `${prefix}lanes`,
      help: "Lanes of Hawser's own links by state: in_use, or spare and waiting for a connection.",
      labels: ["state"],
      read: () => this.#laneReadings(),
    });
    this.stalledResets = counter(registry, {
      name: `${prefix}stalled_resets_total`,
      help: "Connections reset because their reader drained too little for too long.",
    });
    this.#closed = counters(registry, {
      name: `${prefix}connections_closed_total`,
      help: "Connections that have ended, by who ended them and why; code ok is a plain end.",
      labels: ["by", "code"],
    });
    this.#refused = counters(registry, {
      name: `${prefix}refused_total`,
      help: "What was refused, by the limit that was reached or the check that failed.",
      labels: ["limit"],
    });
    this.#dialsFailed = counters(registry, {
      name: `${prefix}dials_failed_total`,
      help: "Dials that brought no connection, each counted once, by code.",
      labels: ["code"],
    });
  }

  /** From now on shows what this budget counts. */
  watch(held: HeldFigures): void {
    this.#held = held;
  }

  /** From now on shows the lanes of these links; a link of the reference's kind has none. */
  watchLanes(lanes: () => Iterable<LaneCounts | undefined>): void {
    this.#lanes = lanes;
  }

  #laneReadings(): Reading<"state">[] {
    let [inUse, spare] = [0, 0];
    for (const lanes of this.#lanes()) {
      inUse += lanes?.inUse ?? 0;
      spare += lanes?.spare ?? 0;
    }
    return [
      { labels: { state: "in_use" }, value: inUse },
      { labels: { state: "spare" }, value: spare },
    ];
  }

  closed(report: CloseReport): void {
    this.#closed.labelled({ by: report.by, code: report.code }).inc();
  }

  /** `limit` is a name from this program, never one from a peer. */
  refused(limit: string): void {
    this.#refused.labelled({ limit }).inc();
  }

  dialFailed(code: ErrorCode): void {
    this.#dialsFailed.labelled({ code }).inc();
  }
}
