/** OpenNebula's error codes, the third element of a failure. */
export const CODE = {
  authentication: 256,
  authorization: 512,
  noExists: 1024,
  action: 2048,
  api: 4096,
  internal: 8192,
  allocate: 16384,
  locked: 32768,
  replication: 65536,
} as const;

export type Code = (typeof CODE)[keyof typeof CODE];

/** Why a command is not done. `objectId` is −1 when no object is meant. The method's name is put before the message. */
export interface Refusal {
  readonly kind: "refusal";
  readonly code: Code;
  readonly message: string;
  readonly objectId: number;
}

export function refusal(code: Code, message: string, objectId = -1): Refusal {
  return { kind: "refusal", code, message, objectId };
}

/** `object` as OpenNebula's texts name it: `host`, `virtual machine`, `virtual machine template`. */
export function noSuch(object: string, id: number): Refusal {
  return refusal(CODE.noExists, `Error getting ${object} [${id}].`, id);
}

export function cannotAllocate(object: string, why: string): Refusal {
  return refusal(CODE.allocate, `Error allocating a new ${object}. ${why}`);
}

export function notAllowed(uid: number, why: readonly string[]): Refusal {
  return refusal(
    CODE.authorization,
    `User [${uid}] : ${why.map((reason) => `Not authorized to perform ${reason}`).join("; ")}.`,
  );
}
