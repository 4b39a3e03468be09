/** Puts map, timeline and series together; the address after "#" holds the view. */

import type { Regions } from "../data/regions";
import { type Version } from "../data/version";
import { get, reason, say } from "../dom";
import { east, isoDate, north } from "../format";
import { describe, fit, type Quantity, QUANTITIES, type Scale, SCALES, widened } from "../map/colours";
import type { Country } from "../map/countries";
import { listen } from "../map/gestures";
import type { Cell, GridMap, Picture } from "../map/map";
import { Panel } from "../series/panel";
import { readView, type View, writeView } from "../view";
import { Ahead } from "./ahead";
import { listenControls } from "./controls";
import { Legend } from "./legend";
import { noteFirstMap } from "./measuring";
import { areaWeights, mapInWords } from "./words";

const FRAME_MS = 120;
/**
 * How long the former map stays, under its own name, before it gives way to an empty one. A map takes 100 to 200 ms from
 * a near server; drawing an empty one meanwhile would flicker, and delay the map by the 50 ms that drawing takes.
 */
const PATIENCE_MS = 250;

export class Page {
  private timer = 0;
  private asked = 0;
  private saving = 0;
  private readonly weights: Float64Array;
  /**
   * Ends of the colour bar that were fitted to a quantity and layer. They stay as days pass, so that days compare, and
   * only move apart: a summer in the colours of a winter would be all of one.
   */
  private readonly fitted = new Map<string, [number, number]>();
  private mask: Uint8Array | undefined;
  private regions: Regions | null = null;
  private outlines: Country[] = [];
  private complaint = "";
  private readonly legend = new Legend(get("legend"), (range) => this.recolour(range));
  readonly panel: Panel;
  readonly ahead: Ahead;

  constructor(
    readonly version: Version,
    readonly map: GridMap,
    readonly view: View,
  ) {
    this.weights = areaWeights(version.axes.latBounds);
    this.ahead = new Ahead(version, view);
    this.panel = new Panel(version, view, (lon, lat) => map.isLand(lon, lat), (day) => void this.choose({ day }));
  }

  fill(complaint: string): void {
    const { version, view, map } = this;
    const { collection } = version;
    this.complaint = complaint;
    document.title = collection.title;
    get("title").textContent = collection.title;
    const days = `${version.date(0)} to ${version.date(version.days.length - 1)}`;
    get("about").textContent = `${days}, UTC days · ${version.layers.length} layers · ${collection.license}`;
    for (const [id, asset] of [["report", collection.assets["report"]?.href], ["collection", "./collection.json"]] as const) {
      const anchor = get<HTMLAnchorElement>(id);
      if (asset) anchor.href = new URL(asset, version.url).href;
      anchor.hidden = !asset;
    }
    version.layers.forEach((layer) => get<HTMLSelectElement>("layer").add(new Option(layer.name, String(layer.index))));
    for (const quantity of QUANTITIES) {
      const missing = !version.has(quantity);
      if (missing && !SCALES[quantity].byWindow) continue;
      const option = new Option(SCALES[quantity].label + (missing ? " (needs more years)" : ""), quantity);
      option.disabled = missing;
      get<HTMLSelectElement>("quantity").add(option);
    }
    get<HTMLInputElement>("slider").max = String(version.days.length - 1);
    Object.assign(get<HTMLInputElement>("date"), { min: version.date(0), max: version.date(version.days.length - 1) });
    map.cursor = view.cell;
    listenControls(this);
    listen(get<HTMLCanvasElement>("map"), map, {
      chosen: (x, y) => this.chooseCell(map.cellAt(x, y)),
      over: (x, y) => this.hover(map.cellAt(x, y), map.placeAt(x, y)),
      left: () => this.hover(null),
      moved: () => this.remember(),
    });
    window.onhashchange = () => this.followAddress();
    window.addEventListener("online", () => document.body.dataset["state"] === "failed" && void this.showMap());
  }

  /** Let countries be chosen, once their outlines are there. */
  async fillRegions(countries: Country[]): Promise<void> {
    this.hover(null);
    const choice = get<HTMLSelectElement>("region");
    const box = choice.parentElement!;
    try {
      this.regions = await this.version.openRegions();
    } catch (error) {
      say(get("regionwords"), `Countries cannot be read: ${reason(error)}.`, () => void this.fillRegions(countries));
      return;
    }
    box.hidden = !this.regions;
    this.outlines = countries;
    get("regionwords").textContent = "";
    this.regions?.list.forEach(({ code, name }) => choice.add(new Option(name, String(code))));
    choice.onchange = () => void this.choose({ region: choice.value ? Number(choice.value) : null, cell: null });
    this.showRegion();
  }

  /** Outline the chosen country and take the mask of its cells. */
  private showRegion(): void {
    const region = this.regions?.find(this.view.region) ?? null;
    this.map.region = this.outlines.find(({ code }) => code === region?.code) ?? null;
    this.mask = region ? this.regions!.mask(region) : undefined;
    get<HTMLSelectElement>("region").value = region ? String(region.code) : "";
    this.map.draw();
    this.tell();
  }

  /** Change part of the view and show it. */
  async choose(change: Partial<View>): Promise<void> {
    const { view, version } = this;
    const former = { ...view };
    Object.assign(view, change);
    view.day = Math.min(Math.max(view.day, 0), version.days.length - 1);
    view.layer = Math.min(Math.max(view.layer, 0), version.layers.length - 1);
    if (view.quantity !== former.quantity && !("range" in change)) view.range = null;
    if (change.cell) view.region = null;
    if (view.region !== former.region) this.showRegion();
    this.complaint = "";
    this.map.cursor = view.cell;
    const placed = view.cell !== null || view.region !== null;
    const moved = placed && (view.layer !== former.layer || view.cell !== former.cell || view.region !== former.region);
    if (!placed) this.panel.forget();
    else if (!moved) this.panel.follow();
    await Promise.all([this.showMap(), moved ? this.panel.show() : null]);
  }

  chooseCell(cell: Cell | null): void {
    if (!cell) {
      this.complaint = "That place lies outside the grid";
      this.note();
      return;
    }
    void this.choose({ cell });
  }

  async showSeries(): Promise<void> {
    await this.panel.show();
  }

  /** Read and draw the map of the view. Until then the former one stays under its own name, or none is shown. */
  async showMap(): Promise<void> {
    const { view, version, map } = this;
    const asked = ++this.asked;
    const { day, layer, quantity } = view;
    const scale = SCALES[quantity];
    this.showControls();
    this.remember();
    const frame = version.frame(quantity, day);
    const name = this.nameOf(quantity, layer, day, frame);
    if (frame < 0) {
      this.clear("empty", `No window of ${version.windows.days} days ends by ${version.date(day)}: there is nothing to show yet.`);
      return;
    }
    const impatient = window.setTimeout(() => asked === this.asked && this.clear("loading", `Reading ${name} …`), PATIENCE_MS);
    const began = performance.now();
    try {
      const values = await version.map(quantity, layer, frame);
      if (asked !== this.asked) return;
      map.show({ name, values, scale: this.ranged(scale, quantity, layer, values) });
      document.body.dataset["state"] = "ready";
      document.body.dataset["shown"] = `${quantity} ${layer} ${version.date(day)}`;
      noteFirstMap();
      document.body.dataset["drawMs"] = (performance.now() - began).toFixed(0);
      this.tell();
      this.ahead.shown();
    } catch (error) {
      if (asked !== this.asked) return;
      this.clear("failed", "");
      say(get("message"), `${name} cannot be shown: ${reason(error)}.`, () => void this.showMap());
    } finally {
      window.clearTimeout(impatient);
    }
  }

  /** The same values in other colours. */
  private recolour(range: [number, number] | null): void {
    const { view, map } = this;
    this.complaint = range && range[0] >= range[1] ? "The lowest colour has to stand for less than the highest" : "";
    if (!this.complaint) view.range = range;
    if (!range) this.fitted.delete(`${view.quantity} ${view.layer}`);
    if (map.picture) {
      map.show({ ...map.picture, scale: this.ranged(SCALES[view.quantity], view.quantity, view.layer, map.picture.values) });
      this.tell();
    }
    this.remember();
  }

  private ranged(scale: Scale, quantity: Quantity, layer: number, values: Float32Array): Scale {
    if (scale.classes) return scale;
    const key = `${quantity} ${layer}`;
    const former = this.fitted.get(key);
    const fitted = scale.fitted ? (former ? widened(former, values) : fit(values)) : null;
    if (fitted && !this.view.range) this.fitted.set(key, fitted);
    const ends = this.view.range ?? fitted ?? [scale.low, scale.high];
    return { ...scale, low: ends[0], high: ends[1] };
  }

  private nameOf(quantity: Quantity, layer: number, day: number, frame: number): string {
    const { version } = this;
    const { label, byWindow, always, surface } = SCALES[quantity];
    const depth = surface ? "surface" : version.layers[layer]!.name;
    if (always) return `${label}, ${depth}`;
    const days = byWindow ? `${version.windows.days} days to ${isoDate(version.windows.ends[frame] ?? 0)}` : version.date(day);
    const open = !byWindow && version.status[day] === 1 ? ", provisional: may still change" : "";
    return `${label}, ${depth}, ${days}${open}`;
  }

  /** Show land and sea alone, and why. */
  private clear(state: "loading" | "empty" | "failed", text: string): void {
    this.map.show(null);
    document.body.dataset["state"] = state;
    delete document.body.dataset["shown"];
    get("message").textContent = text;
    get("words").textContent = text;
    this.hover(null);
  }

  /** Say what is drawn: above it, in the legend, and in words. */
  private tell(): void {
    const { picture } = this.map;
    if (!picture) return;
    const base = this.version.windows.base.map((stamp) => isoDate(stamp).slice(0, 4));
    const note = SCALES[this.view.quantity].byWindow ? `against ${base.join("–")}, ${Number(base[1]) - Number(base[0]) + 1} years` : "";
    this.legend.show(picture.scale, note);
    get("words").textContent = mapInWords(picture, this.weights);
    const region = this.regions?.find(this.view.region);
    get("regionwords").textContent = region ? `${region.name}. ${mapInWords(picture, this.weights, this.mask)}` : "";
    this.note();
  }

  private note(): void {
    const parts = [this.map.picture?.name ?? get("message").textContent, this.complaint].filter(Boolean);
    get("message").textContent = parts.join(" · ");
  }

  private showControls(): void {
    const { view, version } = this;
    const date = version.date(view.day);
    get<HTMLSelectElement>("layer").value = String(view.layer);
    get<HTMLSelectElement>("quantity").value = view.quantity;
    get<HTMLInputElement>("slider").value = String(view.day);
    get("slider").setAttribute("aria-valuetext", date);
    get<HTMLInputElement>("date").value = date;
  }

  hover(cell: Cell | null, place?: [lon: number, lat: number]): void {
    const text = get("hover");
    text.textContent = "";
    const { picture } = this.map;
    if (!cell && place) text.textContent = "outside the grid";
    if (!cell || !picture) return;
    const [lat, lon] = [this.version.axes.lat[cell.row]!, this.version.axes.lon[cell.column]!];
    const value = this.map.value(cell);
    const nothing = { true: "land without values", false: "sea", null: "no value" }[String(this.map.isLand(lon, lat))];
    text.textContent = `${north(lat)}, ${east(lon)}: ${Number.isNaN(value) ? nothing : describe(picture.scale, value)}`;
  }

  get playing(): boolean {
    return this.timer !== 0;
  }

  play(on: boolean): void {
    window.clearTimeout(this.timer);
    this.timer = 0;
    const button = get("play");
    button.textContent = on ? "Pause" : "Play";
    button.setAttribute("aria-pressed", String(on));
    const step = Number(get<HTMLSelectElement>("step").value);
    const last = this.version.days.length - 1;
    const next = async () => {
      const began = performance.now();
      const day = this.view.day >= last ? 0 : Math.min(this.view.day + step, last);
      await this.choose({ day });
      this.ahead.map(Math.min(day + step, last));
      if (document.body.dataset["state"] === "failed") this.play(false);
      if (this.timer) this.timer = window.setTimeout(() => void next(), Math.max(FRAME_MS - (performance.now() - began), 0));
    };
    if (on) this.timer = window.setTimeout(() => void next(), 0);
  }

  /** The address of what is asked for now. */
  get address(): string {
    return new URL(writeView(this.view, this.map.view, this.version), location.href).href;
  }

  /** Keep the address up to date, not more often than browsers allow. */
  remember(): void {
    window.clearTimeout(this.saving);
    this.saving = window.setTimeout(() => history.replaceState(null, "", this.address), 150);
  }

  /** Another address was given to the open page. */
  private followAddress(): void {
    const version = new URLSearchParams(location.hash.slice(1)).get("version");
    if (version && version !== this.version.name) {
      location.reload();
      return;
    }
    window.clearTimeout(this.saving);
    const { view, centre, complaint } = readView(location.hash, this.version);
    this.map.view = centre ?? { ...this.map.view, zoom: 1 };
    void this.choose(view).then(() => {
      this.complaint = complaint;
      this.note();
    });
  }

  get picture(): Picture | null {
    return this.map.picture;
  }
}
