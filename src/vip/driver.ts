import { errorChain } from "../base/error.ts";
import type { HolderConfig, VirtualAddress } from "./config.ts";
import type { HolderEffect, HolderEvent, HolderSettings } from "./holder-state.ts";
import { initialHolderState } from "./holder-state.ts";
import { createLeaseTable, gatedInterfaces } from "./lease-table.ts";
import { isHolding, isLeaseAlive, step } from "./machine.ts";
import type { HolderPorts, LinkState, PacketPort } from "./ports.ts";
import { createTokenSource } from "./token.ts";

/** The tables are compared with what was loaded this often, beside the kernel's own announcements of changes. */
const VERIFY_INTERVAL_MS = 1000;
/** Frames read in one turn; a flood waits for the next turn or is dropped by the kernel. */
const FRAMES_PER_TICK_MAX = 64;
const HOST_PREFIX = 32;

/** What `ringfence status` and the metrics show. Instants on the holder's clock (CLOCK_MONOTONIC_RAW, ms). */
export interface HolderStatus {
  /** This box answers for the virtual addresses. */
  readonly holding: boolean;
  readonly leadership: "follower" | "elected" | "leader" | "released";
  /** The active token; undefined when none is alive. */
  readonly token: number | undefined;
  /** How long the active token certainly lives; 0 when none does. A power command needs more than its deadline. */
  readonly leaseRemainingMs: number;
  /** Whether a foreign device has the address: `unproven`, `probing`, `free`, or `withheld` (it has). */
  readonly claim: "unproven" | "probing" | "free" | "withheld";
  readonly isTableSound: boolean;
  readonly addresses: readonly VirtualAddress[];
  readonly lastAnnounceAt: number | undefined;
  readonly incidents: {
    readonly conflicts: number;
    readonly lapses: number;
    readonly tableLosses: number;
    /** Announcements that the kernel dropped because our token was dead: normal after a pause. */
    readonly refusedAnnouncements: number;
  };
}

/**
 * Holds the virtual addresses and the power gate of this box. Every method is synchronous, runs on the core thread and
 * takes far below a millisecond (a take about 2). None throws for what the kernel refuses: that is an alarm.
 */
export interface Holder {
  /**
   * Call BEFORE the first datagram of the round leaves: the lease counts from here, and its token lives `leaseMs`:
   * D = E·(1−ρ)−δ of the E that this round asks for (consensus.md section 6).
   */
  beforeRound(round: number, leaseMs: number): void;
  /** Call when a quorum answered exactly this round, counted in the configuration at send and now. */
  roundConfirmed(round: number): void;
  /** The own no-op of this term is applied: from here on the address may be taken. */
  leaderReady(term: number): void;
  /** Call for every end of leadership, also between two terms as leader. */
  leadershipLost(): void;
  /** Before TimeoutNow, hooks and stop: nothing passes and the address is gone when it returns; final for this term. */
  release(): void;
  /** A real call over the API's listening socket was answered: on every box, leader or not, at least every 200 ms. */
  apiAnswered(): void;
  /** At most every 20 ms (fast profile 2, default 5): announcements, conflicts, links, table. */
  tick(): void;
  status(): HolderStatus;
  /** The cluster's timings have changed: {@link HolderConfig.apiFreshMs}, {@link HolderConfig.apiDeadMs}. */
  setApiLimits(limits: Pick<HolderConfig, "apiFreshMs" | "apiDeadMs">): void;
  /** Releases and closes the sockets. The tables stay: a gate without tokens lets nothing pass. */
  stop(): void;
}

interface OpenLink extends LinkState {
  readonly socket: PacketPort | undefined;
}

/** Loads the gate (closed) and waits for rounds. Throws on a configuration that the schema should have refused. */
export function createHolder(config: HolderConfig, ports: HolderPorts): Holder {
  let settings: HolderSettings = { ...config, hasVip: config.vips.length > 0 };
  const table = createLeaseTable(config, ports.nft);
  const interfaces = gatedInterfaces(config);
  const nextToken = createTokenSource(ports.clock.bootTime);
  const links = new Map<string, OpenLink>();
  /** Power interfaces that were reported as missing. */
  const absent = new Set<string>();
  let state = initialHolderState();
  let refusedAnnouncements = 0;
  let verifiedAt = Number.NEGATIVE_INFINITY;
  let isStopped = false;

  const dispatch = (first: HolderEvent): void => {
    const events = [first];
    for (let event = events.shift(); event !== undefined; event = events.shift()) {
      const next = step(settings, state, event, ports.clock.monotonicRaw());
      state = next.state;
      for (const effect of next.effects) {
        const failure = perform(effect);
        if (failure === undefined) continue;
        events.push(failure);
        // What follows a failed activation or take relies on it.
        if (failure.kind === "table-missing") break;
      }
    }
  };

  const perform = (effect: HolderEffect): HolderEvent | undefined => {
    switch (effect.kind) {
      case "add-live":
        return kernelCall(() => table.addLive(effect.token, effect.leaseMs));
      case "activate":
        return kernelCall(() => table.activate(effect.token, effect.isForVip));
      case "flush":
        return unlessFlushed(table.flush());
      case "flush-vip":
        return unlessFlushed(table.flushVip());
      case "add-address":
        if (!areLinksSame() || !table.verify()) return { kind: "table-missing", why: "its hooks cannot be read back" };
        return forEachVip("add", setAddress);
      case "renew-address":
        return forEachVip("renew", setAddress);
      case "delete-address":
        return forEachVip("delete", dropAddress);
      case "send-announcement":
        return forEachVip("announce", announce);
      case "send-probe":
        return forEachVip("probe", (vip, link) => link.socket?.send(ports.frames.probe(link.mac, vip.address)));
      case "forget-frames":
        for (const { socket } of links.values()) drain(socket);
        return undefined;
      case "restore-table":
        return restoreTable();
      case "transfer-leadership":
        ports.transferLeadership(effect.why);
        return undefined;
      case "alarm":
        ports.alarm(effect.code, effect.text);
        return undefined;
    }
  };

  /** A call that fails although the tables are sound met another program's transaction: once more, then it is lost. */
  const kernelCall = (call: () => string | undefined): HolderEvent | undefined => {
    if (call() === undefined) return undefined;
    const error = table.verify() ? call() : "the tables are gone or were changed";
    return error === undefined ? undefined : { kind: "table-missing", why: error };
  };

  // Not a `table-missing`: the effects after a flush (address, connections) must run whatever happened to the table.
  const unlessFlushed = (error: string | undefined): undefined => {
    if (error === undefined) return;
    ports.alarm("vip-flush", `Cannot flush the packet lease, it ends by itself when its last round's does: ${error}`);
  };

  const forEachVip = (verb: string, action: (vip: VirtualAddress, link: OpenLink) => void): undefined => {
    for (const vip of config.vips) {
      const link = links.get(vip.interface);
      if (link === undefined) continue;
      try {
        action(vip, link);
      } catch (error) {
        ports.alarm("vip-address", `Cannot ${verb} ${vip.address} on ${vip.interface}: ${errorChain(error)}`);
      }
    }
  };

  /** Whole seconds, at least one more than a lease: tidying only, a dead process's address leaves `ip addr` by itself. */
  const setAddress = (vip: VirtualAddress, link: OpenLink): void => {
    const lifetimeSeconds = Math.ceil((state.active?.leaseMs ?? 0) / 1000) + 1;
    ports.links.setAddress(link.index, vip.address, HOST_PREFIX, lifetimeSeconds);
  };

  const dropAddress = (vip: VirtualAddress, link: OpenLink): void => {
    ports.links.deleteAddress(link.index, vip.address, HOST_PREFIX);
    ports.destroyConnections(vip.address);
  };

  const announce = (vip: VirtualAddress, link: OpenLink): void => {
    const sent = link.socket?.send(ports.frames.announcement(link.mac, vip.address));
    if (sent === "refused") refusedAnnouncements++;
    else if (sent !== "sent") {
      ports.alarm("vip-announce", `Cannot announce ${vip.address} on ${vip.interface}: errno ${sent?.errno ?? "none"}`);
    }
  };

  /** Each interface is the one that the hooks were made for, or is absent as it was then. */
  const areLinksSame = (): boolean =>
    interfaces.every((name) => links.get(name)?.index === ports.links.findLink(name)?.index);

  const restoreTable = (): HolderEvent => {
    try {
      closeLinks();
      for (const name of interfaces) openLink(name);
      const error = table.load([...links.keys()]);
      // Our own loading is not news.
      ports.tableWatch.poll();
      if (error !== undefined) return { kind: "table-refused", why: error };
      // A link that was re-created while the rules were loaded may have none.
      if (!areLinksSame()) return { kind: "table-refused", why: "an interface was replaced meanwhile" };
      verifiedAt = ports.clock.monotonicRaw();
      // An address left by a process before us would be used by our own connections.
      forEachVip("delete", dropAddress);
      return { kind: "table-restored" };
    } catch (error) {
      return { kind: "table-refused", why: errorChain(error) };
    }
  };

  const openLink = (name: string): void => {
    const found = ports.links.findLink(name);
    const addresses = config.vips.filter((vip) => vip.interface === name).map((vip) => vip.address);
    if (found === undefined && addresses.length > 0) throw new Error(`interface "${name}" does not exist`);
    if (found === undefined) {
      // A missing way to the BMCs must not cost us the VIP; it is gated when it appears (watchLinks).
      if (!absent.has(name)) {
        ports.alarm("vip-power-interface", `Power commands cannot be sent: interface "${name}" does not exist`);
      }
      absent.add(name);
      return;
    }
    absent.delete(name);
    if (addresses.length === 0) {
      links.set(name, { ...found, socket: undefined });
      return;
    }
    ports.prepareInterface(name);
    links.set(name, { ...found, socket: ports.openPacketSocket(found.index, addresses) });
  };

  const closeLinks = (): void => {
    for (const link of links.values()) link.socket?.close();
    links.clear();
  };

  const watchLinks = (): void => {
    if (ports.links.pollLinkChanges().length === 0) return;
    for (const name of interfaces) {
      const known = links.get(name);
      const found = ports.links.findLink(name);
      if (found?.index !== known?.index) {
        const what = found === undefined ? "is gone" : known === undefined ? "has appeared" : "was re-created";
        dispatch({ kind: "table-missing", why: `interface "${name}" ${what}` });
        return;
      }
      if (known === undefined || found === undefined) continue;
      links.set(name, { ...known, mac: found.mac, hasCarrier: found.hasCarrier });
      if (found.hasCarrier && !known.hasCarrier) dispatch({ kind: "link-returned" });
    }
  };

  const watchTable = (hasNews: boolean): void => {
    const now = ports.clock.monotonicRaw();
    if (!state.isTableSound || (!hasNews && now - verifiedAt < VERIFY_INTERVAL_MS)) return;
    verifiedAt = now;
    if (!table.verify()) dispatch({ kind: "table-missing", why: "its rules were deleted or changed" });
  };

  const watchFrames = (): void => {
    const macs = new Set([...links.values()].map((link) => link.mac));
    for (const { socket } of [...links.values()]) {
      for (let count = 0; count < FRAMES_PER_TICK_MAX; count++) {
        const frame = socket?.receive();
        if (frame === undefined) break;
        const claim = ports.frames.claim(frame);
        if (claim === undefined || macs.has(claim.mac)) continue;
        if (config.vips.some((vip) => vip.address === claim.address)) dispatch({ kind: "conflict-seen", ...claim });
      }
    }
  };

  dispatch({ kind: "tick" });

  return {
    beforeRound: (round, leaseMs) => {
      if (!isStopped) dispatch({ kind: "round-prepared", round, leaseMs, token: nextToken() });
    },
    roundConfirmed: (round) => {
      if (!isStopped) dispatch({ kind: "round-confirmed", round });
    },
    leaderReady: (term) => {
      if (!isStopped) dispatch({ kind: "leader-ready", term });
    },
    leadershipLost: () => {
      if (!isStopped) dispatch({ kind: "leadership-lost" });
    },
    release: () => {
      if (!isStopped) dispatch({ kind: "release-requested" });
    },
    apiAnswered: () => {
      if (!isStopped) dispatch({ kind: "api-answered" });
    },
    tick: () => {
      if (isStopped) return;
      const hasArrivals = ports.hasArrivals();
      watchTable(hasArrivals && ports.tableWatch.poll());
      if (hasArrivals) {
        watchLinks();
        watchFrames();
      }
      dispatch({ kind: "tick" });
    },
    status: () => {
      const now = ports.clock.monotonicRaw();
      const isAlive = isLeaseAlive(state, now);
      return {
        holding: isHolding(state, now),
        leadership: state.leadership,
        token: isAlive ? state.active?.token : undefined,
        leaseRemainingMs: isAlive ? (state.active?.preparedAt ?? now) + (state.active?.leaseMs ?? 0) - now : 0,
        claim: state.claim.kind,
        isTableSound: state.isTableSound,
        addresses: config.vips,
        lastAnnounceAt: Number.isFinite(state.announcedAt) ? state.announcedAt : undefined,
        incidents: { ...state.incidents, refusedAnnouncements },
      };
    },
    setApiLimits: ({ apiFreshMs, apiDeadMs }) => {
      settings = { ...settings, apiFreshMs, apiDeadMs };
    },
    stop: () => {
      if (isStopped) return;
      dispatch({ kind: "release-requested" });
      isStopped = true;
      closeLinks();
    },
  };
}

function drain(socket: PacketPort | undefined): void {
  for (let count = 0; count < FRAMES_PER_TICK_MAX && socket?.receive() !== undefined; count++);
}
