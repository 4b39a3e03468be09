/** A published version: its days, layers and fields, read from its Zarr stores. */

import { DAY_MS, centimetres, isoDate } from "../format";
import { type Quantity, SCALES } from "../map/colours";
import { Regions } from "./regions";
import { readTables } from "./shards";
import { openArray, openGroup, openStore, read1d, readJson, readValues, type Store, type Stored } from "./store";

interface Asset {
  href: string;
}

export interface Collection {
  id: string;
  title: string;
  license: string;
  version: string;
  assets: Record<string, Asset>;
  links: { href: string }[];
  summaries?: { bands?: { name: string }[] };
  "sci:citation"?: string;
  "sci:doi"?: string;
}

export interface Axes {
  lat: Float64Array;
  lon: Float64Array;
  latBounds: Float64Array;
  lonBounds: Float64Array;
}

/** One cell through time, [day] each. */
export interface Series {
  mean: Float32Array;
  std: Float32Array;
  uncertainty: Float32Array | null;
  /** 1 on days on which the ground counts as frozen; null where the version does not tell. */
  frozen: Float32Array | null;
  applicable: boolean;
}

export interface Layer {
  name: string;
  index: number;
}

/** How windows of drought lie: last day of each, days in one, days of the year on which they end, first and last base day. */
export interface Windows {
  ends: Int32Array;
  days: number;
  season: Int32Array;
  base: [number, number];
}

const NO_WINDOWS: Windows = { ends: new Int32Array(0), days: 30, season: new Int32Array(0), base: [0, 0] };

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
    readonly windows: Windows,
    private readonly fields: Map<string, Stored>,
    private readonly latest: Latest | null,
    private readonly openSeries: () => Promise<Map<string, Stored>>,
    /** The countries with their series; null where the version has none. */
    readonly openRegions: () => Promise<Regions | null>,
  ) {}

  static async open(root: URL, wanted: string | null): Promise<Version> {
    const name = wanted ?? (await readJson<{ version: string }>(new URL("latest.json", root))).version;
    const url = new URL(`v${name}/`, root);
    const collection = await readJson<Collection>(new URL("collection.json", url));
    const at = (key: string) => new URL(`${collection.assets[key]!.href}/`, url);
    const [maps, drought, latest] = await Promise.all([
      openStore(at("zarr")),
      collection.assets["drought"] ? openStore(at("drought")) : null,
      collection.assets["latest"] ? openLatest(at("latest")) : null,
    ]);
    const [axes, bounds, days, status, windows] = await Promise.all([
      readAxes(maps),
      read1d<Float64Array>(maps, "depth_bnds"),
      read1d<Int32Array>(maps, "time"),
      read1d<Int8Array>(maps, "status"),
      drought ? readWindows(drought) : NO_WINDOWS,
    ]);
    const layers = Array.from({ length: bounds.length / 2 }, (_, index) => ({
      index,
      name: `${centimetres(bounds[2 * index]!)}–${centimetres(bounds[2 * index + 1]!)} cm`,
    }));
    const fields = new Map<string, Stored>();
    await Promise.all(
      (Object.keys(SCALES) as Quantity[]).map(async (quantity) => {
        const store = SCALES[quantity].byWindow ? drought : maps;
        if (store && hasArray(store, quantity)) fields.set(quantity, await openArray(store, quantity));
      }),
    );
    const openSeries = once(() => seriesFields(at("zarr-series")));
    const openRegions = once(async () => (collection.assets["regions"] ? Regions.open(at("regions")) : null));
    return new Version(name, url, collection, axes, layers, days, status, windows, fields, latest, openSeries, openRegions);
  }

  has(quantity: Quantity): boolean {
    return this.fields.has(quantity);
  }

  /** Index along time of the map that a day shows: that day, or the last window that ends by it; -1 if there is none. */
  frame(quantity: Quantity, day: number): number {
    if (!SCALES[quantity].byWindow) return day;
    const { ends } = this.windows;
    let last = -1;
    while (last + 1 < ends.length && ends[last + 1]! <= this.days[day]!) last++;
    return last;
  }

  /** Values of a map, row by row from the first latitude. */
  async map(quantity: Quantity, layer: number, frame: number): Promise<Float32Array> {
    // The latest day has a store of its own, where it is one request; another day of it is another version's.
    const atOnce = this.latest?.day === this.days[frame] ? this.latest?.fields.get(quantity) : undefined;
    const values =
      atOnce && !SCALES[quantity].byWindow
        ? await readValues(atOnce, [layer, 0, null, null])
        : await readValues(this.fields.get(quantity)!, selectionOf(quantity, layer, frame));
    if (quantity !== "applicability") return values;
    // The store has no third answer for cells without soil moisture, such as sea: they are neither like nor unlike.
    const moisture = await this.map("soil_moisture", layer, frame);
    return values.map((value, i) => (Number.isNaN(moisture[i]!) ? NaN : value));
  }

  /** Learn where the chunks of a map lie, and of those `reach` shards before and after it. */
  async readTables(quantity: Quantity, layer: number, frame: number, reach: number): Promise<void> {
    const { always, surface } = SCALES[quantity];
    const array = this.fields.get(quantity);
    if (array && !always) await readTables(array, selectionOf(quantity, layer, frame), surface ? 0 : 1, reach);
  }

  /** Share of the daily uncertainty that is left in a window's deviation from its climatology; NaN where unknown. */
  anomalyShare(layer: number): number {
    const shares = this.fields.get("soil_moisture_uncertainty")?.attrs["anomaly_share"] as number[] | undefined;
    return shares?.[layer] ?? NaN;
  }

  async series(layer: number, row: number, column: number): Promise<Series> {
    const fields = await this.openSeries();
    const at = [layer, null, row, column];
    const whole = async (name: string) => (fields.has(name) ? readValues(fields.get(name)!, at) : null);
    const flags = fields.get("frozen");
    const [mean, std, uncertainty, frozen, inside] = await Promise.all([
      whole("soil_moisture"),
      whole("soil_moisture_std"),
      whole("soil_moisture_uncertainty"),
      flags ? readValues(flags, [null, row, column]) : null,
      readValues(this.fields.get("applicability")!, [layer, row, column]),
    ]);
    return { mean: mean!, std: std!, uncertainty, frozen, applicable: inside[0] === 1 };
  }

  /** Name of the product, as its yearly files begin. */
  get product(): string {
    return this.collection.id.replace(/-v[^-]*$/, "");
  }

  /** Name of a layer, as its yearly files have it. Collections of earlier releases do not tell it. */
  nameInFiles(layer: number): string {
    return this.collection.summaries?.bands?.[layer]?.name ?? `layer${layer + 1}`;
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

  /** The cell that holds a place, whose longitude may be counted from -180 or from 0; null outside the grid. */
  cellOf(lat: number, lon: number): { row: number; column: number } | null {
    const row = within(this.axes.latBounds, lat);
    const column = Math.max(...[lon, lon + 360, lon - 360].map((degrees) => within(this.axes.lonBounds, degrees)));
    return row < 0 || column < 0 ? null : { row, column };
  }
}

/** One map of a stored field: fields of a cell have no day, those of the surface no layer. */
function selectionOf(quantity: Quantity, layer: number, frame: number): (number | null)[] {
  const { always, surface } = SCALES[quantity];
  return always ? [layer, null, null] : surface ? [frame, null, null] : [layer, frame, null, null];
}

/** A promise that is made at the first call and kept, unless it fails: then the next call tries again. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | null = null;
  return () =>
    (made ??= make().catch((error: unknown) => {
      made = null;
      throw error;
    }));
}

/** Index of the interval of flat bounds that holds a value; -1 if none does. */
export function within(bounds: Float64Array, value: number): number {
  for (let i = 0; i < bounds.length / 2; i++) {
    const [a, b] = [bounds[2 * i]!, bounds[2 * i + 1]!];
    if (value >= Math.min(a, b) && value <= Math.max(a, b)) return i;
  }
  return -1;
}

/** The latest day alone. */
interface Latest {
  day: number;
  fields: Map<string, Stored>;
}

async function openLatest(url: URL): Promise<Latest> {
  const store = await openStore(url);
  const fields = new Map<string, Stored>();
  const names = ["soil_moisture", "soil_moisture_uncertainty"].filter((name) => hasArray(store, name));
  const [days] = await Promise.all([
    read1d<Int32Array>(store, "time"),
    ...names.map(async (name) => fields.set(name, await openArray(store, name))),
  ]);
  return { day: days[0]!, fields };
}

function hasArray(store: Store, name: string): boolean {
  return store.contents().some(({ path }) => path === `/${name}`);
}

async function seriesFields(url: URL): Promise<Map<string, Stored>> {
  const series = await openStore(url);
  const fields = new Map<string, Stored>();
  const names = ["soil_moisture", "soil_moisture_std", "soil_moisture_uncertainty", "frozen"];
  await Promise.all(
    names.map(async (name) => {
      if (hasArray(series, name)) fields.set(name, await openArray(series, name));
    }),
  );
  return fields;
}

async function readWindows(drought: Store): Promise<Windows> {
  const { attrs } = await openGroup(drought);
  const [ends, season, bounds] = await Promise.all([
    read1d<Int32Array>(drought, "time"),
    read1d<Int32Array>(drought, "season"),
    read1d<Int32Array>(drought, "time_bnds"),
  ]);
  const day = (key: string, other: number) => {
    const stamp = Date.parse(`${attrs[key]}T00:00:00Z`);
    return Number.isFinite(stamp) ? stamp / DAY_MS : other;
  };
  const base: [number, number] = [day("base_start", ends[0]!), day("base_end", ends.at(-1)!)];
  return { ends, season, days: bounds[1]! - bounds[0]!, base };
}

async function readAxes(store: Store): Promise<Axes> {
  const names = ["lat", "lon", "lat_bnds", "lon_bnds"] as const;
  const [lat, lon, latBounds, lonBounds] = await Promise.all(names.map((n) => read1d<Float64Array>(store, n)));
  return { lat: lat!, lon: lon!, latBounds: latBounds!, lonBounds: lonBounds! };
}
