/** Reads a published version: Zarr stores over plain HTTP, without a server of ours. */

import { decompress } from "fzstd";
import * as zarr from "zarrita";
import type { Quantity } from "./colours";

const CACHE_BYTES = 192 * 2 ** 20;
const DAY_MS = 86_400_000;

// Zstandard in plain JavaScript: a tenth of the size of the WebAssembly one, and nothing is compiled at run time.
zarr.registry.set("zstd", async () => ({
  fromConfig: () => ({
    kind: "bytes_to_bytes" as const,
    encode: () => Promise.reject(new Error("this page only reads")),
    decode: async (data: Uint8Array) => decompress(data) as Uint8Array<ArrayBuffer>,
  }),
}));

type Store = Awaited<ReturnType<typeof openStore>>;
type Stored = zarr.Array<zarr.DataType, Store>;

interface Asset {
  href: string;
}

interface Collection {
  title: string;
  license: string;
  assets: Record<string, Asset>;
}

export interface Axes {
  lat: Float64Array;
  lon: Float64Array;
  latBounds: Float64Array;
  lonBounds: Float64Array;
}

/** One cell through time: values of the daily product, and its climatology by day of the year where there is one. */
export interface Series {
  mean: Float32Array;
  std: Float32Array;
  climate?: { day: Float64Array; mean: Float32Array; std: Float32Array };
  applicable: boolean;
}

export interface Layer {
  name: string;
  index: number;
}

export class Version {
  private constructor(
    readonly name: string,
    readonly url: URL,
    readonly collection: Collection,
    readonly axes: Axes,
    readonly layers: Layer[],
    /** Days since 1970-01-01 of every day. */
    readonly days: Int32Array,
    readonly status: Int8Array,
    /** Days on which the windows of drought end; empty where there is none. */
    readonly windows: Int32Array,
    private readonly fields: Map<string, Stored>,
  ) {}

  static async open(root: URL, wanted: string | null): Promise<Version> {
    const name = wanted ?? (await json<{ version: string }>(new URL("latest.json", root))).version;
    const url = new URL(`v${name}/`, root);
    const collection = await json<Collection>(new URL("collection.json", url));
    const at = (key: string) => new URL(collection.assets[key]!.href + "/", url);
    const [maps, series, drought] = await Promise.all([
      openStore(at("zarr")),
      openStore(at("zarr-series")),
      collection.assets["drought"] ? openStore(at("drought")) : null,
    ]);
    const axes = await readAxes(maps);
    const bounds = await read1d<Float64Array>(maps, "depth_bnds");
    const layers = globalThis.Array.from({ length: bounds.length / 2 }, (_, index) => ({
      index,
      name: `${cm(bounds[2 * index]!)}–${cm(bounds[2 * index + 1]!)} cm`,
    }));
    const fields = new Map<string, Stored>();
    const add = async (key: string, store: Store, name: string) => fields.set(key, await openArray(store, name));
    await Promise.all([
      add("soil_moisture", maps, "soil_moisture"),
      add("soil_moisture_std", maps, "soil_moisture_std"),
      add("applicability", maps, "applicability"),
      add("series", series, "soil_moisture"),
      add("series_std", series, "soil_moisture_std"),
      ...(drought
        ? ["anomaly", "drought_class", "climatology_mean", "climatology_std", "season"].map((n) => add(n, drought, n))
        : []),
    ]);
    return new Version(
      name,
      url,
      collection,
      axes,
      layers,
      await read1d<Int32Array>(maps, "time"),
      await read1d<Int8Array>(maps, "status"),
      drought ? await read1d<Int32Array>(drought, "time") : new Int32Array(0),
      fields,
    );
  }

  has(quantity: Quantity): boolean {
    return this.fields.has(quantity);
  }

  /** The window that a day is shown with: the last one that ends on or before it. */
  window(day: number): number {
    let found = -1;
    for (let i = 0; i < this.windows.length && this.windows[i]! <= this.days[day]!; i++) found = i;
    return found;
  }

  /** Index along time of the map that a day shows; -1 where there is none. */
  frame(quantity: Quantity, day: number): number {
    return quantity === "anomaly" || quantity === "drought_class" ? this.window(day) : day;
  }

  /** Values of a map, row by row from the first latitude. */
  async map(quantity: Quantity, layer: number, frame: number): Promise<Float32Array> {
    return read(this.fields.get(quantity)!, [layer, frame, null, null]);
  }

  async series(layer: number, row: number, column: number): Promise<Series> {
    const at = [layer, null, row, column];
    const whole = (name: string) => read(this.fields.get(name)!, at);
    const [mean, std, inside] = await Promise.all([
      whole("series"),
      whole("series_std"),
      read(this.fields.get("applicability")!, [layer, row, column]),
    ]);
    const applicable = inside[0] === 1;
    if (!this.fields.has("season")) return { mean, std, applicable };
    const [day, normal, spread] = await Promise.all([
      read(this.fields.get("season")!, [null]),
      whole("climatology_mean"),
      whole("climatology_std"),
    ]);
    return { mean, std, applicable, climate: { day: Float64Array.from(day), mean: normal, std: spread } };
  }

  date(day: number): string {
    return isoDate(this.days[day]!);
  }

  /** The day of a date, or the nearest there is. */
  day(date: string): number {
    const wanted = Date.parse(`${date}T00:00:00Z`) / DAY_MS;
    if (!Number.isFinite(wanted)) return this.days.length - 1;
    return Math.min(Math.max(wanted - this.days[0]!, 0), this.days.length - 1);
  }
}

export function isoDate(days: number): string {
  return new Date(days * DAY_MS).toISOString().slice(0, 10);
}

async function json<T>(url: URL): Promise<T> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname}: ${response.status} ${response.statusText}`);
  return (await response.json()) as T;
}

async function openStore(url: URL) {
  // The bytes are cached here; the browser's own cache would write each part to disk before giving it.
  const fetching = async (request: Request) => sliced(request, await fetch(request, { cache: "no-store" }));
  const remote = new zarr.FetchStore(url, { fetch: fetching, useSuffixRequest: true });
  return zarr.withByteCaching(await zarr.withConsolidatedMetadata(remote, { format: "v3" }), { cache: lru() });
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
    set(key: string, value: Uint8Array | undefined) {
      kept.set(key, value);
      bytes += value?.byteLength ?? 0;
      for (const [oldest, dropped] of kept) {
        if (bytes <= CACHE_BYTES || oldest === key) break;
        kept.delete(oldest);
        bytes -= dropped?.byteLength ?? 0;
      }
    },
  };
}

async function openArray(store: Store, name: string): Promise<Stored> {
  return zarr.open.v3(zarr.root(store).resolve(name), { kind: "array" });
}

async function read1d<T>(store: Store, name: string): Promise<T> {
  return (await zarr.get(await openArray(store, name))).data as T;
}

async function readAxes(store: Store): Promise<Axes> {
  const names = ["lat", "lon", "lat_bnds", "lon_bnds"] as const;
  const [lat, lon, latBounds, lonBounds] = await Promise.all(names.map((n) => read1d<Float64Array>(store, n)));
  return { lat: lat!, lon: lon!, latBounds: latBounds!, lonBounds: lonBounds! };
}

/** Unpacked values of a selection; NaN where there is none. */
async function read(array: Stored, selection: (number | null)[]): Promise<Float32Array> {
  const found = (await zarr.get(array, selection)) as unknown as { data: ArrayLike<number | bigint> } | number;
  const raw = typeof found === "number" ? [found] : found.data;
  const scale = Number(array.attrs["scale_factor"] ?? 1);
  const fill = array.attrs["_FillValue"];
  const values = new Float32Array(raw.length);
  for (let i = 0; i < raw.length; i++) values[i] = raw[i] === fill ? NaN : Number(raw[i]) * scale;
  return values;
}

function cm(metres: number): number {
  return Math.round(metres * 1000) / 10;
}
