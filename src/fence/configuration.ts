import { getText, parseStored } from "../one/attributes.ts";
import type { HostRow } from "../one/host/row.ts";
import { isPlaceholderGuid, normalizeGuid } from "./identity.ts";
import { DOMAIN_TAGS } from "./policy.ts";
import type { BindingRow } from "./record.ts";

/** One way to power a host off: one FENCE section of its template. PASSWORD is still sealed here. */
export interface Device {
  readonly hostId: number;
  readonly level: number;
  readonly method: string;
  readonly address: string;
  readonly port: number;
  readonly user: string;
  readonly sealedPassword: string;
  readonly privilege: "operator" | "administrator" | "user";
  /** Cipher suites in the order to try. */
  readonly suites: readonly (3 | 17)[];
  /** T: at least this long between two *off* answers, for firmware that answers from a cache. */
  readonly spacingMs: number;
}

/** The shortest and longest T that can be configured. */
export const SPACING_MS_MIN = 250;
export const SPACING_MS_MAX = 5_000;
/** Sections of one host that are read. */
export const DEVICES_MAX = 16;
/** Fencing that only a person can do: it never runs by itself. */
export const MANUAL = "manual";

export interface Configuration {
  readonly devices: readonly Device[];
  /** What is wrong with sections that were left out, as sentences. */
  readonly problems: readonly string[];
}

/**
 * The FENCE sections of a host, levels ascending. FENCE_IP, as OpenNebula's fencing example has it, is kept as a section
 * by the front-end; what a section leaves out has a default.
 */
export function readConfiguration(host: HostRow): Configuration {
  const sections = JSON.parse(host.fence === "" ? "[]" : host.fence) as readonly Readonly<Record<string, string>>[];
  const problems: string[] = [];
  const devices = sections.slice(0, DEVICES_MAX).flatMap((section) => {
    const device = readSection(host.id, section);
    if (typeof device !== "string") return [device];
    problems.push(`FENCE of host ${host.id}: ${device}`);
    return [];
  });
  return { devices: devices.sort((a, b) => a.level - b.level), problems };
}

/** `RACK=r1`, `SWITCH=s2`, `PDU=p3`: what this host shares with others. */
export function domainsOf(host: HostRow): readonly string[] {
  const attributes = parseStored(host.template);
  return DOMAIN_TAGS.flatMap((tag) => {
    const value = getText(attributes, tag);
    return value === undefined || value === "" ? [] : [`${tag}=${value}`];
  });
}

/** Why this host can never be fenced by itself, with the command that helps; undefined when it can. */
export function notReadyReason(
  host: HostRow,
  configuration: Configuration,
  binding: BindingRow | undefined,
  methods: ReadonlySet<string>,
): string | undefined {
  const automatic = configuration.devices.filter((device) => device.method !== MANUAL);
  const unknown = automatic.find((device) => !methods.has(device.method));
  if (unknown !== undefined)
    return `METHOD "${unknown.method}" is not known; known are ${[...methods].join(", ")}, manual`;
  if (automatic.length === 0) {
    if (configuration.problems.length > 0) return configuration.problems.join("; ");
    if (configuration.devices.length > 0)
      return `its only fencing method is manual: \`ringfence fence confirm ${host.name}\` once it is off`;
    return `it has no FENCE section: \`ringfence fence set ${host.name}\` adds its BMC, \`ringfence fence confirm ${host.name}\` helps now`;
  }
  if (binding === undefined)
    return `its BMC is not bound to it: \`ringfence fence bind ${host.name}\` shows both identities and stores them`;
  const guid = normalizeGuid(binding.guid);
  if (guid === undefined || isPlaceholderGuid(guid))
    return `its BMC shows the GUID ${binding.guid}, which many machines share: \`ringfence fence bind ${host.name}\` after setting one`;
  return undefined;
}

/** The device, or what is wrong with the section. */
function readSection(hostId: number, section: Readonly<Record<string, string>>): Device | string {
  const method = (section["METHOD"] ?? "ipmi").toLowerCase();
  const level = integer(section["LEVEL"] ?? "1", 1, 99);
  const port = integer(section["PORT"] ?? "623", 1, 65_535);
  const spacingMs = integer(section["SPACING_MS"] ?? String(SPACING_MS_MIN), SPACING_MS_MIN, SPACING_MS_MAX);
  const privilege = PRIVILEGES[(section["PRIVILEGE"] ?? "OPERATOR").toUpperCase()];
  const suites = SUITES[(section["CIPHER"] ?? "auto").toLowerCase()];
  const address = section["ADDRESS"] ?? "";
  if (level === undefined) return `LEVEL "${section["LEVEL"] ?? ""}" is not 1 … 99`;
  if (port === undefined) return `PORT "${section["PORT"] ?? ""}" is not 1 … 65535`;
  if (spacingMs === undefined) return `SPACING_MS is not ${SPACING_MS_MIN} … ${SPACING_MS_MAX}`;
  if (privilege === undefined)
    return `PRIVILEGE "${section["PRIVILEGE"] ?? ""}" is not USER, OPERATOR or ADMINISTRATOR`;
  if (suites === undefined) return `CIPHER "${section["CIPHER"] ?? ""}" is not auto, 17 or 3`;
  if (method !== MANUAL && address === "") return `METHOD "${method}" needs an ADDRESS`;
  const user = section["USER"] ?? "";
  const sealedPassword = section["PASSWORD"] ?? "";
  return { hostId, level, method, address, port, user, sealedPassword, privilege, suites, spacingMs };
}

const PRIVILEGES: Readonly<Record<string, Device["privilege"]>> = {
  USER: "user",
  OPERATOR: "operator",
  ADMINISTRATOR: "administrator",
};

/** Suites 0 to 2 have no encryption or no authentication: refused. */
const SUITES: Readonly<Record<string, Device["suites"]>> = { auto: [17, 3], "17": [17], "3": [3] };

function integer(text: string, min: number, max: number): number | undefined {
  const value = Number(text);
  return Number.isInteger(value) && value >= min && value <= max ? value : undefined;
}
