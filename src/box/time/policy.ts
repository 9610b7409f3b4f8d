/**
 * The wall clock of a box without a battery: never before what is certain to have been. Nothing in the cluster depends on
 * wall time; certificates, logs and people do.
 */

/** A saved instant further ahead than this is no memory but a mistake: a clock that was once set to 2036. ms. */
const SAVED_AHEAD_MS_MAX = 10 * 365 * 86_400_000;

export interface ClockFacts {
  /** Wall ms now. */
  readonly now: number;
  /** Wall ms when this image was built. */
  readonly builtAt: number | undefined;
  /** Wall ms that was saved last. */
  readonly savedAt: number | undefined;
}

/** What the clock is to be set to, ms; undefined when it may stay. */
export function clockFloor({ now, builtAt = 0, savedAt = 0 }: ClockFacts): number | undefined {
  const isBelievable = savedAt > 0 && (builtAt === 0 || savedAt - builtAt < SAVED_AHEAD_MS_MAX);
  const floor = Math.max(builtAt, isBelievable ? savedAt : 0);
  return now < floor ? floor : undefined;
}

/**
 * chrony.conf for these servers. The clock is stepped at the start only; then it is slewed by 500 ppm at most: promises and
 * leases are measured on a clock that is not steered at all, and one that is steered faster gets no lease (clock-watch).
 */
export function chronyConf(servers: readonly string[]): string {
  return [
    ...servers.map((server) => `${/^\d+(\.\d+){3}$/.test(server) ? "server" : "pool"} ${server} iburst`),
    "sourcedir /run/one/chrony-sources",
    "driftfile /var/lib/one/chrony.drift",
    // In three of the first updates; later steps would make a log that goes back in time.
    "makestep 1 3",
    "maxslewrate 500",
    "rtcsync",
    // It serves nobody, and is asked by its socket only.
    "port 0",
    "cmdport 0",
    "",
  ].join("\n");
}

/** Servers that DHCP brought, as chrony's sourcedir takes them. */
export function chronySources(servers: readonly string[]): string {
  return [...new Set(servers)].map((server) => `server ${server} iburst\n`).join("");
}
