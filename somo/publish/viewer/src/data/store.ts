/** Opens published Zarr stores over plain HTTP; what is missing or damaged is an error that says so. */

import { decompress } from "fzstd";
import xxhash from "xxhash-wasm";
import * as zarr from "zarrita";

const CACHE_BYTES = 192 * 2 ** 20;
const TRIES = 3;
const PAUSE_MS = 300;
/** Bit of a Zstandard frame's descriptor (RFC 8878) that says whether a checksum follows the content. */
const HAS_CHECKSUM = 0x04;

/** One for each open store: bytes are cached before they are decoded, so that damaged ones get into it too. */
const caches = new Set<ReturnType<typeof lru>>();

/** Why something cannot be shown, in words for people. */
export class ReadError extends Error {}

export type Store = Awaited<ReturnType<typeof openStore>>;
export type Stored = zarr.Array<zarr.DataType, Store>;

// Zstandard in plain JavaScript is a tenth of the size of the WebAssembly one, but does not look at checksums.
zarr.registry.set("zstd", async () => {
  const { h64Raw } = await xxhash();
  return {
    fromConfig: () => ({
      kind: "bytes_to_bytes" as const,
      encode: refuse,
      decode: async (data: Uint8Array) => {
        const content = unpacked(data);
        if (data[4]! & HAS_CHECKSUM && Number(h64Raw(content) & 0xffffffffn) !== lastWord(data)) throw damaged(data);
        return content as Uint8Array<ArrayBuffer>;
      },
    }),
  };
});

zarr.registry.set("crc32c", async () => ({
  fromConfig: () => ({
    kind: "bytes_to_bytes" as const,
    encode: refuse,
    decode: async (data: Uint8Array) => {
      const content = data.subarray(0, -4);
      if (crc32c(content) !== lastWord(data)) throw damaged(data);
      return content as Uint8Array<ArrayBuffer>;
    },
    computeEncodedSize: (size: number) => size + 4,
  }),
}));

const refuse = () => Promise.reject(new Error("this page only reads"));

/** The error of bytes whose checksum does not hold. They leave the caches, so that another try asks the server again. */
function damaged(data: Uint8Array): ReadError {
  for (const cache of caches) cache.forget(data.buffer);
  return new ReadError("the bytes that came are damaged: their checksum does not hold");
}

function unpacked(data: Uint8Array): Uint8Array {
  try {
    return decompress(data);
  } catch {
    throw damaged(data);
  }
}

function lastWord(data: Uint8Array): number {
  return new DataView(data.buffer, data.byteOffset + data.byteLength - 4, 4).getUint32(0, true);
}

const CASTAGNOLI = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

function crc32c(data: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of data) value = CASTAGNOLI[(value ^ byte) & 255]! ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

export async function readJson<T>(url: URL): Promise<T> {
  const response = await ask(new Request(url));
  try {
    return (await response.json()) as T;
  } catch {
    // A proxy or the sign-in page of a wireless network answers every request with a page of its own.
    throw new ReadError(`${url.pathname} came as something else than JSON: another server may have answered`);
  }
}

export async function openStore(url: URL) {
  const remote = new zarr.FetchStore(url, { fetch: (request) => ask(request), useSuffixRequest: true });
  const cache = lru();
  caches.add(cache);
  return zarr.withByteCaching(await zarr.withConsolidatedMetadata(remote, { format: "v3" }), { cache });
}

export async function openArray(store: Store, name: string): Promise<Stored> {
  return zarr.open.v3(zarr.root(store).resolve(name), { kind: "array" });
}

export async function openGroup(store: Store) {
  return zarr.open.v3(zarr.root(store), { kind: "group" });
}

export async function read1d<T>(store: Store, name: string): Promise<T> {
  return (await zarr.get(await openArray(store, name))).data as T;
}

/** Unpacked values of a selection; NaN where there is none. */
export async function readValues(array: Stored, selection: (number | null)[]): Promise<Float32Array> {
  const found = (await zarr.get(array, selection)) as unknown as { data: ArrayLike<number | bigint> } | number;
  const raw = typeof found === "number" ? [found] : found.data;
  const scale = Number(array.attrs["scale_factor"] ?? 1);
  const fill = array.attrs["_FillValue"];
  const values = new Float32Array(raw.length);
  for (let i = 0; i < raw.length; i++) values[i] = raw[i] === fill ? NaN : Number(raw[i]) * scale;
  return values;
}

/**
 * An answer that holds what was asked for. Zarr takes a missing object for one without values; published stores have an
 * object for everything that their metadata describe, so that a missing one is an error here.
 */
async function ask(request: Request): Promise<Response> {
  const name = new URL(request.url).pathname;
  for (let tried = 1; ; tried++) {
    const response = await answer(request, name);
    if (response?.ok) return sliced(request, response);
    if (response?.status === 404) throw new ReadError(`${name} is missing`);
    if (response && response.status < 500) throw new ReadError(`${name}: the server refuses it (${response.status})`);
    if (tried === TRIES && response) throw new ReadError(`${name}: the server fails (${response.status})`);
    if (tried === TRIES) throw new ReadError(navigator.onLine ? `${name}: no answer` : "this device is offline");
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * tried));
  }
}

async function answer(request: Request, name: string): Promise<Response | null> {
  // The page keeps the bytes; the browser's own cache would write each part to disk before giving it.
  try {
    return await fetch(request.clone(), { cache: name.endsWith(".json") ? "no-cache" : "no-store" });
  } catch {
    return null;
  }
}

/** Servers that know no ranges answer with the whole object: take the part that was asked for. */
async function sliced(request: Request, response: Response): Promise<Response> {
  const range = /^bytes=(\d*)-(\d*)$/.exec(request.headers.get("Range") ?? "");
  if (!range || response.status !== 200) return response;
  const whole = await response.arrayBuffer();
  const part = range[1] ? whole.slice(Number(range[1]), Number(range[2]) + 1) : whole.slice(-Number(range[2]));
  return new Response(part, { status: 206 });
}

/** Least recently used objects leave when the cache is full. */
function lru() {
  const kept = new Map<string, Uint8Array | undefined>();
  let bytes = 0;
  return {
    has: (key: string) => kept.has(key),
    get(key: string) {
      const value = kept.get(key);
      kept.delete(key);
      kept.set(key, value);
      return value;
    },
    /** Drop what was read into a buffer. */
    forget(buffer: ArrayBufferLike) {
      for (const [key, value] of kept) {
        if (value?.buffer !== buffer) continue;
        kept.delete(key);
        bytes -= value.byteLength;
      }
    },
    set(key: string, value: Uint8Array | undefined) {
      // Two reads of one object under way together set the same key twice.
      bytes += (value?.byteLength ?? 0) - (kept.get(key)?.byteLength ?? 0);
      kept.set(key, value);
      for (const [oldest, dropped] of kept) {
        if (bytes <= CACHE_BYTES || oldest === key) break;
        kept.delete(oldest);
        bytes -= dropped?.byteLength ?? 0;
      }
    },
  };
}
