import type { Change, SqlValue } from "../../base/entry.ts";
import { parseStored } from "../attributes.ts";
import { statement, type Transition, versionGuard } from "../change.ts";
import { reservedCapacity } from "./reserved.ts";
import type { HostRow } from "./row.ts";
import { shownTemplate } from "./shown.ts";
import { HOST_STATE, hostStateName } from "./states.ts";

/** What a host reported about itself when it was heard. */
export interface HostFacts {
  /** Hundredths of a core, KiB. */
  readonly totalCpu: number;
  readonly totalMem: number;
  /** ARCH, CPUSPEED, HOSTNAME, HYPERVISOR, MODELNAME, VERSION … as inner XML (`renderTemplate`). */
  readonly facts: string;
}

const { init, monitored, error, disabled, offline } = HOST_STATE;

/** Every legal step of a host, in one place. The docs show this table. */
export const HOST_TRANSITIONS = {
  /** Heard and fit for use. From ERROR only when its fencing record, if any, is closed: the caller guards on that. */
  monitored: { from: [init, error, monitored], to: monitored },
  /** Lost: it does not answer, or it is proven off. */
  error: { from: [init, monitored, error], to: error },
  disabled: { from: [init, monitored, error, disabled, offline], to: disabled },
  offline: { from: [init, monitored, error, disabled, offline], to: offline },
  /** Back in service: INIT until it is heard. */
  enabled: { from: [disabled, offline, error, init, monitored], to: init },
} as const;

export type HostStep = keyof typeof HOST_TRANSITIONS;

export function isLegalHostStep(host: HostRow, step: HostStep): boolean {
  return (HOST_TRANSITIONS[step].from as readonly number[]).includes(host.state);
}

/** Heard: INIT or ERROR → MONITORED with its facts. Its UNKNOWN VMs are adopted one by one, as they are seen. */
export function hostMonitored(host: HostRow, facts: HostFacts): Transition {
  return move(host, "monitored", { error: "", ...factColumns(host, facts) });
}

/** New facts of a host in any state; the state stays. Samples are not facts: they are not replicated. */
export function hostFacts(host: HostRow, facts: HostFacts): Change {
  const columns = factColumns(host, facts);
  return {
    guards: [versionGuard("host", host)],
    statements: [
      statement(
        `UPDATE host SET version=version+1${assignments(columns)} WHERE id=?`,
        ...Object.values(columns),
        host.id,
      ),
    ],
    tags: [`host:${host.id}`],
  };
}

function factColumns(host: HostRow, { totalCpu, totalMem, facts }: HostFacts): Readonly<Record<string, SqlValue>> {
  const reserved = reservedCapacity(parseStored(host.template), totalCpu, totalMem);
  return {
    total_cpu: totalCpu,
    total_mem: totalMem,
    reserved_cpu: reserved?.cpu ?? 0,
    reserved_mem: reserved?.mem ?? 0,
    facts,
    shown: shownTemplate({ ...host, facts }),
  };
}

/**
 * HOST → ERROR and its RUNNING and booting VMs → UNKNOWN, in one change: nobody ever sees the one without the other.
 * VMs that are being stopped stay so; the caller finishes them (`poweredOff`, `terminated`) once the host is proven off.
 * A DISABLED or OFFLINE host keeps its state (a person chose it), its VMs become UNKNOWN all the same.
 */
export function hostLost(host: HostRow, why: string): Transition {
  const lost = statement(
    "UPDATE vm SET version=version+1,prev_state=state,prev_lcm_state=lcm_state,lcm_state=16,reason=? WHERE host_id=? AND state=3 AND lcm_state IN (2,3)",
    why,
    host.id,
  );
  const tags = [`host:${host.id}`, `host-vms:${host.id}`];
  if (!isLegalHostStep(host, "error")) {
    return { ok: true, change: { guards: [versionGuard("host", host)], statements: [lost], tags } };
  }
  const moved = move(host, "error", { error: why });
  if (!moved.ok) return moved;
  return { ok: true, change: { ...moved.change, statements: [...moved.change.statements, lost], tags } };
}

/** `one.host.status` 1: no new VMs, it is watched but never fenced by itself. */
export function hostDisabled(host: HostRow): Transition {
  return move(host, "disabled", { error: "" });
}

/** `one.host.status` 2: taken out of service altogether. */
export function hostOffline(host: HostRow): Transition {
  return move(host, "offline", { error: "" });
}

/** `one.host.status` 0: back in service once it is heard. */
export function hostEnabled(host: HostRow): Transition {
  return move(host, "enabled", { error: "" });
}

/**
 * State and reason of its open fencing record, "" when that is closed: shown in `onehost show`, and no VM is started on
 * the host as long as it is there. Belongs into the entry that changes the record.
 */
export function hostFenceNote(hostId: number, note: string): Change {
  return {
    guards: [],
    statements: [statement("UPDATE host SET fence_note=? WHERE id=?", note, hostId)],
    tags: [`host:${hostId}`],
  };
}

function move(host: HostRow, step: HostStep, columns: Readonly<Record<string, SqlValue>>): Transition {
  if (!isLegalHostStep(host, step)) {
    return { ok: false, why: `host ${host.id} is ${hostStateName(host.state)}, which has no step "${step}"` };
  }
  return {
    ok: true,
    change: {
      guards: [versionGuard("host", host)],
      statements: [
        statement(
          `UPDATE host SET version=version+1,prev_state=state,state=?${assignments(columns)} WHERE id=?`,
          HOST_TRANSITIONS[step].to,
          ...Object.values(columns),
          host.id,
        ),
      ],
      tags: [`host:${host.id}`],
    },
  };
}

/** `,a=?,b=?` for columns named in this source. */
function assignments(columns: Readonly<Record<string, SqlValue>>): string {
  return Object.keys(columns)
    .map((column) => `,${column}=?`)
    .join("");
}
