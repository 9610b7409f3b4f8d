import { CodedError } from "../base/error.ts";
import type { FrontEnd } from "./front-end.ts";
import { readRequestId } from "./request-id.ts";
import { encodeFault } from "./xmlrpc/encode.ts";
import { FAULT, Fault } from "./xmlrpc/fault.ts";

/** A call's longest body: four of the largest templates, entity-escaped. An upload's piece may be as long. */
export const BODY_SIZE_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Of a body that is too long, so much is taken and thrown away before 413 is said: a client that still sends when its
 * connection is closed loses the answer to the reset. What is longer still is cut off.
 */
const DRAINED_BYTES_MAX = 4 * BODY_SIZE_BYTES_MAX;

/** Calls that may be under way at once: as many again as writes may wait for a leader, so that reads go on meanwhile. */
const CALLS_MAX = 2048;

/** A connection on which nothing moves for this long is closed: longer than a write may be held. */
const IDLE_SECONDS = 60;

export interface HttpOptions {
  /** Address to listen on; default all. */
  readonly hostname?: string;
  /** 2633 on a box; 0 takes a free one. */
  readonly port: number;
  /**
   * Takes `POST /upload/ID/OFFSET`: bytes as they are. Only a method's answer gives an id (32 hexadecimal digits) out, and who
   * knows it may send. The answer goes back as JSON; a CodedError is a refusal (409).
   */
  readonly upload?: (id: string, at: number, bytes: Uint8Array) => Promise<object>;
}

export interface HttpServer {
  readonly port: number;
  /** Stops listening; with `true` open connections are cut. */
  stop(cut: boolean): Promise<void>;
}

/** What is done with a body. */
type Use = (bytes: Uint8Array, request: Request) => Promise<Response>;

/** Below 10^12 bytes. */
const UPLOAD_PATH = /^\/upload\/([0-9a-f]{32})\/(\d{1,12})$/;

/**
 * Serves `POST /RPC2` and uploads: HTTP/1.0 and 1.1, kept-alive connections.
 *
 * @throws CodedError "listen-failed".
 */
export function serveHttp(frontEnd: FrontEnd, options: HttpOptions): HttpServer {
  let underWay = 0;
  const take = async (request: Request, use: Use): Promise<Response> => {
    if (underWay >= CALLS_MAX) return plain(503, "too many calls are under way\n", { "Retry-After": "1" });
    underWay++;
    try {
      const body = await readBody(request);
      return body === undefined
        ? plain(413, `a call has ${BODY_SIZE_BYTES_MAX} bytes at most\n`)
        : await use(body, request);
    } finally {
      underWay--;
    }
  };
  const rpc: Use = async (bytes, request) => {
    const body = textOf(bytes);
    const answer =
      typeof body === "string"
        ? await frontEnd.answer(body, readRequestId(request.headers.get("Ringfence-Request")))
        : encodeFault(body);
    return new Response(answer, { headers: XML });
  };
  const uploadTo = (path: string): Use | undefined => {
    const [, id, at] = UPLOAD_PATH.exec(path) ?? [];
    const { upload } = options;
    if (id === undefined || upload === undefined) return undefined;
    return async (bytes) => {
      try {
        return Response.json(await upload(id, Number(at), bytes));
      } catch (error) {
        if (error instanceof CodedError) return plain(409, `${error.message}\n`);
        throw error;
      }
    };
  };
  try {
    const server = Bun.serve({
      hostname: options.hostname ?? "0.0.0.0",
      port: options.port,
      maxRequestBodySize: DRAINED_BYTES_MAX,
      idleTimeout: IDLE_SECONDS,
      fetch: (request) => {
        const path = pathOf(request.url);
        const use = path === "/RPC2" ? rpc : uploadTo(path);
        if (use === undefined) return plain(404, "only /RPC2 is here\n");
        return request.method === "POST" ? take(request, use) : plain(405, "only POST\n", { Allow: "POST" });
      },
      error: () => plain(500, "internal error, see the log of this box\n"),
    });
    return { port: server.port ?? options.port, stop: (cut) => server.stop(cut) };
  } catch (error) {
    throw new CodedError("listen-failed", `Cannot listen on port ${options.port}`, error);
  }
}

const XML = { "Content-Type": "text/xml; charset=utf-8" };

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Undefined when it is too long. */
async function readBody(request: Request): Promise<Uint8Array | undefined> {
  if (Number(request.headers.get("Content-Length")) > BODY_SIZE_BYTES_MAX) {
    for await (const _ of request.body ?? []);
    return undefined;
  }
  const bytes = await request.arrayBuffer();
  return bytes.byteLength > BODY_SIZE_BYTES_MAX ? undefined : new Uint8Array(bytes);
}

/** Bytes that are not UTF-8 are no XML that we read. */
function textOf(bytes: Uint8Array): string | Fault {
  try {
    return decoder.decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return new Fault(FAULT.parse, "Call is not valid XML-RPC: it is not UTF-8");
    throw error;
  }
}

/**
 * Cheaper than a URL: the path is what stands between the host and a question mark. A request of HTTP/1.0 without a Host
 * has a path only.
 */
function pathOf(url: string): string {
  const scheme = url.indexOf("://");
  const from = scheme === -1 ? 0 : url.indexOf("/", scheme + 3);
  const question = url.indexOf("?", from);
  return url.slice(from, question === -1 ? undefined : question);
}

function plain(status: number, text: string, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(text, { status, headers: { "Content-Type": "text/plain", ...headers } });
}
