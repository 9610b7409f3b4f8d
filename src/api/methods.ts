import type { Argument, Arguments, Method, Parameter } from "../one/method.ts";
import type { RpcValue } from "./xmlrpc/decode.ts";
import { FAULT, Fault } from "./xmlrpc/fault.ts";

/** All methods that a box answers, by name. */
export type Methods = ReadonlyMap<string, Method>;

/** One table from the lists of all folders. Two methods of one name are a programmer's error. */
export function createMethods(lists: readonly Method[]): Methods {
  const methods = new Map<string, Method>();
  for (const method of lists) {
    if (methods.has(method.name)) throw new Error(`Cannot make the table of methods: ${method.name} is there twice`);
    methods.set(method.name, method);
  }
  return methods;
}

/**
 * The session and the arguments of a call, checked against the method's parameters: what is left out takes its default,
 * what is too much is ignored. Throws {@link Fault} −501.
 */
export function checkParameters(
  method: Method,
  params: readonly RpcValue[],
): { readonly session: string; readonly args: Arguments } {
  const session = params[0];
  if (typeof session !== "string")
    throw new Fault(FAULT.type, `${method.name}: parameter 1 must be a string, the session`);
  const args = method.parameters.map((parameter, index) => argument(method, parameter, params[index + 1], index + 2));
  return { session, args };
}

function argument(method: Method, parameter: Parameter, value: RpcValue | undefined, position: number): Argument {
  if (value === undefined) {
    if (parameter.default !== undefined) return parameter.default;
    throw new Fault(FAULT.type, `${method.name}: parameter ${position} (${parameter.name}) is missing`);
  }
  const checked = ofType(parameter.type, value);
  if (checked === undefined) {
    throw new Fault(
      FAULT.type,
      `${method.name}: parameter ${position} (${parameter.name}) must be ${WORDS[parameter.type]}`,
    );
  }
  return checked;
}

const WORDS: Readonly<Record<Parameter["type"], string>> = {
  string: "a string",
  int: "an integer",
  boolean: "a boolean",
  ints: "an array of integers",
};

function ofType(type: Parameter["type"], value: RpcValue): Argument | undefined {
  if (type === "int") return typeof value === "number" ? value : undefined;
  if (type === "ints") return Array.isArray(value) && value.every((one) => typeof one === "number") ? value : undefined;
  return typeof value === type ? (value as string | boolean) : undefined;
}
