/** Network functions of requests (IPMI 2.0 table 5-1). An answer has the number above. */
export const netFn = { chassis: 0x00, app: 0x06 } as const;

/** Commands of network function App (IPMI 2.0 appendix G). */
export const appCommand = {
  getDeviceId: 0x01,
  coldReset: 0x02,
  warmReset: 0x03,
  getDeviceGuid: 0x08,
  getSystemGuid: 0x37,
  getChannelAuthCapabilities: 0x38,
  setSessionPrivilege: 0x3b,
  closeSession: 0x3c,
  getSessionInfo: 0x3d,
  getCipherSuites: 0x54,
} as const;

/** Commands of network function Chassis. */
export const chassisCommand = {
  getCapabilities: 0x00,
  getStatus: 0x01,
  control: 0x02,
  reset: 0x03,
  setRestorePolicy: 0x06,
  getRestartCause: 0x07,
} as const;

/** Completion codes (IPMI 2.0 table 5-2) that this package tells apart. */
export const completionCode = {
  ok: 0x00,
  busy: 0xc0,
  invalidCommand: 0xc1,
  timeout: 0xc3,
  invalidLength: 0xc7,
  invalidField: 0xcc,
  duplicate: 0xcf,
  initializing: 0xd2,
  destinationUnavailable: 0xd3,
  privilege: 0xd4,
  notInThisState: 0xd5,
} as const;

/** Privilege levels (IPMI 2.0 §6.8). */
export const privilegeLevel = { user: 2, operator: 3, administrator: 4 } as const;
export type Privilege = keyof typeof privilegeLevel;

/** Chassis Control (IPMI 2.0 table 28-4). Cycle, soft off and diagnostic interrupt are left out: none of them proves anything. */
export const powerAction = { off: 0, on: 1, reset: 3 } as const;
export type PowerAction = keyof typeof powerAction;

/** Get Chassis Status (IPMI 2.0 table 28-3). */
export interface ChassisStatus {
  readonly isPowerOn: boolean;
  readonly hasOverload: boolean;
  readonly hasInterlock: boolean;
  readonly hasPowerFault: boolean;
  readonly hasControlFault: boolean;
  /** What the host does when mains power comes back. `on` and `previous` start a host that nobody told to start. */
  readonly restorePolicy: "off" | "previous" | "on" | "unknown";
  /** Why power last changed. */
  readonly lastEvent: {
    readonly acFailed: boolean;
    readonly overload: boolean;
    readonly interlock: boolean;
    readonly powerFault: boolean;
    /** The last power *on* came from an IPMI command. */
    readonly turnedOnByCommand: boolean;
  };
}

const RESTORE_POLICIES = ["off", "previous", "on", "unknown"] as const;

/** Undefined when there are fewer than the three bytes that every BMC must give. */
export function decodeChassisStatus(data: Buffer): ChassisStatus | undefined {
  const [power, event, misc] = data;
  if (power === undefined || event === undefined || misc === undefined) return;
  return {
    isPowerOn: (power & 0x01) !== 0,
    hasOverload: (power & 0x02) !== 0,
    hasInterlock: (power & 0x04) !== 0,
    hasPowerFault: (power & 0x08) !== 0,
    hasControlFault: (power & 0x10) !== 0,
    restorePolicy: RESTORE_POLICIES[(power >> 5) & 0x03] ?? "unknown",
    lastEvent: {
      acFailed: (event & 0x01) !== 0,
      overload: (event & 0x02) !== 0,
      interlock: (event & 0x04) !== 0,
      powerFault: (event & 0x08) !== 0,
      turnedOnByCommand: (event & 0x10) !== 0,
    },
  };
}

export function encodeChassisStatus(status: ChassisStatus): Buffer {
  const bit = (isSet: boolean, position: number) => (isSet ? 1 << position : 0);
  const { lastEvent } = status;
  return Buffer.from([
    bit(status.isPowerOn, 0) |
      bit(status.hasOverload, 1) |
      bit(status.hasInterlock, 2) |
      bit(status.hasPowerFault, 3) |
      bit(status.hasControlFault, 4) |
      (RESTORE_POLICIES.indexOf(status.restorePolicy) << 5),
    bit(lastEvent.acFailed, 0) |
      bit(lastEvent.overload, 1) |
      bit(lastEvent.interlock, 2) |
      bit(lastEvent.powerFault, 3) |
      bit(lastEvent.turnedOnByCommand, 4),
    0x00,
  ]);
}

/** Get Device ID (IPMI 2.0 table 20-2). */
export interface DeviceId {
  readonly deviceId: number;
  readonly deviceRevision: number;
  /** As vendors print it: major, and minor from its BCD. */
  readonly firmware: string;
  readonly ipmiVersion: string;
  /** IANA enterprise number. */
  readonly manufacturerId: number;
  readonly productId: number;
  /** False while the firmware is being updated or starts: nothing it says is to be relied on. */
  readonly isAvailable: boolean;
}

export function decodeDeviceId(data: Buffer): DeviceId | undefined {
  if (data.length < 11) return;
  const bcd = data.readUInt8(3);
  const version = data.readUInt8(4);
  return {
    deviceId: data.readUInt8(0),
    deviceRevision: data.readUInt8(1) & 0x0f,
    firmware: `${data.readUInt8(2) & 0x7f}.${(bcd >> 4).toString()}${(bcd & 0x0f).toString()}`,
    ipmiVersion: `${version & 0x0f}.${version >> 4}`,
    manufacturerId: data.readUIntLE(6, 3) & 0xfffff,
    productId: data.readUInt16LE(9),
    isAvailable: (data.readUInt8(2) & 0x80) === 0,
  };
}

/** True for a command that can change a host's power: the caller's guard is asked before such a datagram leaves. */
export function changesPower(fn: number, command: number): boolean {
  return fn === netFn.chassis && (command === chassisCommand.control || command === chassisCommand.reset);
}
