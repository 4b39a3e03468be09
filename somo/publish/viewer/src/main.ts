/** Puts map, timeline and series together; the address after "#" holds the view. */

import { Chart } from "./chart";
import { readLines } from "./coast";
import { describe, type Quantity, type Scale, SCALES } from "./colours";
import { isoDate, type Series, Version } from "./data";
import { type Cell, GridMap } from "./map";
import "./style.css";

const FRAME_MS = 120;
const QUANTITIES = Object.keys(SCALES) as Quantity[];

const get = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const layerChoice = get<HTMLSelectElement>("layer");
const quantityChoice = get<HTMLSelectElement>("quantity");
const slider = get<HTMLInputElement>("slider");
const dateField = get<HTMLInputElement>("date");
const stepChoice = get<HTMLSelectElement>("step");
const playButton = get<HTMLButtonElement>("play");
const message = get<HTMLParagraphElement>("message");

interface View {
  day: number;
  layer: number;
  quantity: Quantity;
  cell: Cell | null;
}

start().catch((error: unknown) => tell("These data cannot be shown", error));

function tell(what: string, error: unknown): void {
  message.textContent = `${what}: ${error instanceof Error ? error.message : String(error)}`;
  document.body.dataset["state"] = "failed";
}

async function start(): Promise<void> {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const version = await Version.open(new URL("../", location.href), wanted.get("version"));
  const map = new GridMap(get<HTMLCanvasElement>("map"), version.axes);
  const chart = new Chart(get<HTMLCanvasElement>("chart"));
  const view = readView(wanted, version);
  const page = new Page(version, map, chart, view);
  page.fill();
  if (wanted.has("zoom")) map.view = { zoom: number(wanted, "zoom"), lon: number(wanted, "lon0"), lat: number(wanted, "lat0") };
  void readLines(map.extent).then((lines) => map.setLines(lines));
  await page.showMap();
  if (view.cell) await page.showSeries(view.cell);
}

function number(wanted: URLSearchParams, key: string): number {
  return Number(wanted.get(key));
}

function readView(wanted: URLSearchParams, version: Version): View {
  const quantity = QUANTITIES.find((q) => q === wanted.get("quantity") && version.has(q)) ?? "soil_moisture";
  const layer = Math.min(Math.max(number(wanted, "layer") - 1, 0), version.layers.length - 1);
  const day = wanted.has("date") ? version.day(wanted.get("date")!) : version.days.length - 1;
  const [lat, lon] = [parseFloat(wanted.get("lat") ?? ""), parseFloat(wanted.get("lon") ?? "")];
  const cell = Number.isFinite(lat) && Number.isFinite(lon) ? nearest(version, lat, lon) : null;
  return { day, layer, quantity, cell };
}

function nearest(version: Version, lat: number, lon: number): Cell {
  const closest = (axis: Float64Array, value: number) =>
    axis.reduce((best, v, i) => (Math.abs(v - value) < Math.abs(axis[best]! - value) ? i : best), 0);
  return { row: closest(version.axes.lat, lat), column: closest(version.axes.lon, lon) };
}

class Page {
  private timer = 0;
  private asked = 0;
  private series: Series | null = null;

  constructor(
    private readonly version: Version,
    private readonly map: GridMap,
    private readonly chart: Chart,
    private readonly view: View,
  ) {}

  fill(): void {
    const { version, view } = this;
    const { collection } = version;
    document.title = collection.title;
    get("title").textContent = collection.title;
    get("about").textContent =
      `${version.date(0)} to ${version.date(version.days.length - 1)} · ${version.layers.length} layers · ${collection.license}`;
    for (const [id, asset] of [["report", collection.assets["report"]?.href], ["collection", "./collection.json"]] as const) {
      const anchor = get<HTMLAnchorElement>(id);
      if (asset) anchor.href = new URL(asset, version.url).href;
      anchor.hidden = !asset;
    }
    version.layers.forEach((layer) => layerChoice.add(new Option(layer.name, String(layer.index))));
    for (const quantity of QUANTITIES) {
      const option = new Option(SCALES[quantity].label, quantity);
      option.disabled = !version.has(quantity);
      if (option.disabled) option.text += " (needs three years)";
      quantityChoice.add(option);
    }
    for (const [days, name] of [[1, "1 day"], [5, "5 days"], [10, "10 days"], [30, "30 days"]] as const) {
      stepChoice.add(new Option(name, String(days)));
    }
    slider.max = String(version.days.length - 1);
    dateField.min = version.date(0);
    dateField.max = version.date(version.days.length - 1);
    layerChoice.value = String(view.layer);
    quantityChoice.value = view.quantity;
    this.map.cursor = view.cell;
    this.listen();
    this.listenMap();
    this.listenChart();
  }

  private listen(): void {
    const { view } = this;
    layerChoice.onchange = () => void this.choose({ layer: Number(layerChoice.value) });
    quantityChoice.onchange = () => void this.choose({ quantity: quantityChoice.value as Quantity });
    slider.oninput = () => void this.choose({ day: Number(slider.value) });
    dateField.onchange = () => void this.choose({ day: this.version.day(dateField.value) });
    playButton.onclick = () => this.play(!this.timer);
    get("controls").onsubmit = get("timeline").onsubmit = (event) => event.preventDefault();
    get<HTMLButtonElement>("csv").onclick = () => this.download();
    get<HTMLButtonElement>("whole").onclick = () => this.chart.whole();
    get<HTMLButtonElement>("link").onclick = () => void this.copyLink();
    get("zoom").onclick = (event) => {
      const how = (event.target as HTMLElement).dataset["zoom"];
      if (how) this.zoom(how);
    };
    document.onkeydown = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const field = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
      const button = event.target instanceof HTMLButtonElement;
      if (event.key === "," || event.key === ".") void this.choose({ day: view.day + (event.key === "." ? 1 : -1) });
      else if (event.key === " " && !field && !button) this.play(!this.timer);
      else if (/^[1-9]$/.test(event.key) && !field) void this.choose({ layer: Number(event.key) - 1 });
      else return;
      event.preventDefault();
    };
  }

  private listenMap(): void {
    const canvas = get<HTMLCanvasElement>("map");
    let pressed: { x: number; y: number; moved: boolean } | null = null;
    canvas.onpointerdown = (event) => {
      pressed = { x: event.offsetX, y: event.offsetY, moved: false };
      canvas.setPointerCapture(event.pointerId);
    };
    canvas.onpointermove = (event) => {
      if (pressed && (pressed.moved || Math.hypot(event.offsetX - pressed.x, event.offsetY - pressed.y) > 4)) {
        this.map.pan(event.offsetX - pressed.x, event.offsetY - pressed.y);
        pressed = { x: event.offsetX, y: event.offsetY, moved: true };
        this.remember();
      }
      this.hover(this.map.cellAt(event.offsetX, event.offsetY));
    };
    canvas.onpointerup = (event) => {
      const cell = this.map.cellAt(event.offsetX, event.offsetY);
      if (pressed && !pressed.moved && cell) void this.showSeries(cell);
      pressed = null;
    };
    canvas.onpointerleave = () => this.hover(null);
    canvas.onwheel = (event) => {
      event.preventDefault();
      this.map.zoomAt(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
      this.remember();
    };
    canvas.onkeydown = (event) => {
      const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (by) this.moveCursor(by[0]! * (this.northFirst ? 1 : -1), by[1]!);
      else if (event.key === "Enter" && this.map.cursor) void this.showSeries(this.map.cursor);
      else if ("+-0".includes(event.key)) this.zoom({ "+": "in", "-": "out", "0": "all" }[event.key]!);
      else return;
      event.preventDefault();
    };
  }

  private listenChart(): void {
    const canvas = get<HTMLCanvasElement>("chart");
    let pressed: { x: number; moved: boolean } | null = null;
    canvas.onpointerdown = (event) => {
      pressed = { x: event.offsetX, moved: false };
      canvas.setPointerCapture(event.pointerId);
    };
    canvas.onpointermove = (event) => {
      if (pressed && (pressed.moved || Math.abs(event.offsetX - pressed.x) > 4)) {
        this.chart.pan(event.offsetX - pressed.x);
        pressed = { x: event.offsetX, moved: true };
      }
      this.read(this.chart.dayAt(event.offsetX));
    };
    canvas.onpointerup = (event) => {
      if (pressed && !pressed.moved && this.series) void this.choose({ day: this.chart.dayAt(event.offsetX) });
      pressed = null;
    };
    canvas.onpointerleave = () => this.read(this.view.day);
    canvas.ondblclick = () => this.chart.whole();
    canvas.onwheel = (event) => {
      event.preventDefault();
      this.chart.zoomAt(Math.exp(-event.deltaY / 300), event.offsetX);
    };
    canvas.onkeydown = (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
      if (step) void this.choose({ day: this.view.day + step });
      else if (event.key === "+" || event.key === "-") this.chart.zoomAt(event.key === "+" ? 1.5 : 1 / 1.5);
      else return;
      event.preventDefault();
    };
  }

  /** Change part of the view and show it. */
  async choose(change: Partial<View>): Promise<void> {
    const { view, version } = this;
    const former = view.layer;
    Object.assign(view, change);
    view.day = Math.min(Math.max(view.day, 0), version.days.length - 1);
    view.layer = Math.min(Math.max(view.layer, 0), version.layers.length - 1);
    try {
      await Promise.all([this.showMap(), view.cell && view.layer !== former ? this.showSeries(view.cell) : null]);
    } catch (error) {
      tell(`${version.date(view.day)} cannot be shown`, error);
    }
  }

  async showMap(): Promise<void> {
    const { view, version, map } = this;
    const asked = ++this.asked;
    layerChoice.value = String(view.layer);
    quantityChoice.value = view.quantity;
    slider.value = String(view.day);
    slider.setAttribute("aria-valuetext", version.date(view.day));
    dateField.value = version.date(view.day);
    this.chart.day = view.day;
    this.chart.draw();
    this.read(view.day);
    this.remember();
    const scale = SCALES[view.quantity];
    const frame = version.frame(view.quantity, view.day);
    if (frame < 0) {
      message.textContent = "No window of 30 days ends by this day.";
      return;
    }
    const began = performance.now();
    const values = await version.map(view.quantity, view.layer, frame);
    if (asked !== this.asked) return;
    map.show(values, scale);
    this.legend();
    message.textContent = this.note(frame);
    document.body.dataset["state"] = "ready";
    document.body.dataset["shown"] = `${view.quantity} ${view.layer} ${version.date(view.day)}`;
    document.body.dataset["drawMs"] = (performance.now() - began).toFixed(0);
  }

  private note(frame: number): string {
    const { view, version } = this;
    const date = version.date(view.day);
    if (view.quantity === "anomaly" || view.quantity === "drought_class") {
      return `${date} · 30 days to ${isoDate(version.windows[frame]!)}`;
    }
    return version.status[view.day] === 1 ? `${date} · provisional: may still change` : date;
  }

  async showSeries(cell: Cell): Promise<void> {
    const { view, version, chart } = this;
    view.cell = this.map.cursor = cell;
    this.map.draw();
    const series = await version.series(view.layer, cell.row, cell.column);
    if (view.cell !== cell) return;
    this.series = series;
    const [lat, lon] = [version.axes.lat[cell.row]!, version.axes.lon[cell.column]!];
    get("place").textContent = `${north(lat)}, ${east(lon)} · ${version.layers[view.layer]!.name}`;
    const some = series.mean.some((v) => !Number.isNaN(v));
    get("placenote").textContent = !some
      ? "No values here: sea, or no forcing."
      : series.applicable
        ? `Line: daily mean. Band: ± 2 standard deviations of the ensemble.${series.climate ? " Dashed: climatology." : ""}`
        : "This cell is unlike the cells the model was trained on: take its values with care.";
    get<HTMLButtonElement>("csv").disabled = get<HTMLButtonElement>("whole").disabled = !some;
    chart.show(series, version.days);
    this.read(view.day);
    this.remember();
    document.body.dataset["series"] = `${view.layer} ${cell.row} ${cell.column}`;
  }

  private get northFirst(): boolean {
    return this.version.axes.lat[0]! > this.version.axes.lat.at(-1)!;
  }

  private moveCursor(rows: number, columns: number): void {
    const { lat, lon } = this.version.axes;
    const from = this.map.cursor ?? { row: lat.length >> 1, column: lon.length >> 1 };
    this.map.cursor = {
      row: Math.min(Math.max(from.row + rows, 0), lat.length - 1),
      column: Math.min(Math.max(from.column + columns, 0), lon.length - 1),
    };
    this.map.draw();
    this.hover(this.map.cursor);
  }

  private zoom(how: string): void {
    if (how === "all") this.map.view = { ...this.map.view, zoom: 1 };
    else this.map.zoomAt(how === "in" ? 1.5 : 1 / 1.5);
    this.remember();
  }

  private hover(cell: Cell | null): void {
    const text = get("hover");
    if (!cell) {
      text.textContent = "";
      return;
    }
    const { axes } = this.version;
    const value = describe(SCALES[this.view.quantity], this.map.value(cell));
    text.textContent = `${north(axes.lat[cell.row]!)}, ${east(axes.lon[cell.column]!)}: ${value}`;
  }

  /** Tell the values of the series on a day. */
  private read(day: number): void {
    if (!this.series) return;
    const { mean, std } = this.series;
    const normal = this.chart.climate?.[day];
    const usual = normal === undefined ? "" : ` · climatology ${normal.toFixed(3)}`;
    get("reading").textContent = Number.isNaN(mean[day]!)
      ? ""
      : `${this.version.date(day)}: ${mean[day]!.toFixed(3)} ± ${std[day]!.toFixed(3)} m³ m⁻³${usual}`;
  }

  private legend(): void {
    const scale = SCALES[this.view.quantity];
    const bar = get("legend");
    const title = document.createElement("strong");
    title.textContent = `${scale.label} [${scale.units}]`;
    bar.replaceChildren(title, scale.classes ? classes(scale.stops, scale.classes) : ramp(scale));
  }

  play(on: boolean): void {
    window.clearTimeout(this.timer);
    this.timer = 0;
    playButton.textContent = on ? "Pause" : "Play";
    playButton.setAttribute("aria-pressed", String(on));
    const next = async () => {
      const began = performance.now();
      const last = this.version.days.length - 1;
      const day = this.view.day >= last ? 0 : Math.min(this.view.day + Number(stepChoice.value), last);
      await this.choose({ day });
      this.prefetch(Math.min(day + Number(stepChoice.value), last));
      if (this.timer) this.timer = window.setTimeout(() => void next(), Math.max(FRAME_MS - (performance.now() - began), 0));
    };
    if (on) this.timer = window.setTimeout(() => void next(), 0);
  }

  /** Have the bytes of a day's map at hand before it is asked for. */
  private prefetch(day: number): void {
    const { view, version } = this;
    const frame = version.frame(view.quantity, day);
    if (frame >= 0) void version.map(view.quantity, view.layer, frame).catch(() => undefined);
  }

  private remember(): void {
    const { view, version, map } = this;
    const parts = new URLSearchParams({
      version: version.name,
      date: version.date(view.day),
      layer: String(view.layer + 1),
      quantity: view.quantity,
    });
    if (view.cell) {
      parts.set("lat", version.axes.lat[view.cell.row]!.toFixed(4));
      parts.set("lon", version.axes.lon[view.cell.column]!.toFixed(4));
    }
    const seen = map.view;
    if (seen.zoom !== 1) {
      parts.set("zoom", seen.zoom.toFixed(2));
      parts.set("lon0", seen.lon.toFixed(3));
      parts.set("lat0", seen.lat.toFixed(3));
    }
    window.clearTimeout(this.saving);
    this.saving = window.setTimeout(() => history.replaceState(null, "", `#${parts}`), 150);
  }

  private saving = 0;

  private async copyLink(): Promise<void> {
    const button = get<HTMLButtonElement>("link");
    const former = button.textContent;
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = "Copied";
    } catch {
      window.prompt("Link to this view", location.href);
    }
    window.setTimeout(() => (button.textContent = former), 1500);
  }

  private download(): void {
    const { version, view, series } = this;
    if (!series || !view.cell) return;
    const [lat, lon] = [version.axes.lat[view.cell.row]!, version.axes.lon[view.cell.column]!];
    const normal = this.chart.climate;
    const head = [
      `# ${version.collection.title}`,
      `# ${lat.toFixed(4)} N, ${lon.toFixed(4)} E, ${version.layers[view.layer]!.name}, m3 m-3, ${version.collection.license}`,
      `date,soil_moisture,soil_moisture_std${normal ? ",climatology" : ""}`,
    ];
    const cell = (value: number) => (Number.isNaN(value) ? "" : value.toFixed(4));
    const lines = Array.from(version.days, (_, i) =>
      [version.date(i), cell(series.mean[i]!), cell(series.std[i]!), ...(normal ? [cell(normal[i]!)] : [])].join(","),
    );
    const anchor = document.createElement("a");
    anchor.href = URL.createObjectURL(new Blob([[...head, ...lines, ""].join("\n")], { type: "text/csv" }));
    anchor.download = `soil_moisture_${lat.toFixed(2)}_${lon.toFixed(2)}_layer${view.layer + 1}.csv`;
    anchor.click();
    URL.revokeObjectURL(anchor.href);
  }
}

function north(lat: number): string {
  return `${Math.abs(lat).toFixed(2)}° ${lat < 0 ? "S" : "N"}`;
}

function east(lon: number): string {
  return `${Math.abs(lon).toFixed(2)}° ${lon < 0 ? "W" : "E"}`;
}

function ramp(scale: Scale): HTMLElement {
  const box = document.createElement("div");
  box.className = "bar";
  const bar = document.createElement("div");
  bar.className = "ramp";
  bar.style.background = `linear-gradient(to right, ${scale.stops.join(", ")})`;
  const marks = document.createElement("div");
  marks.className = "marks";
  for (let i = 0; i <= scale.spaces; i++) {
    const mark = document.createElement("span");
    const beyond = i === scale.spaces ? "≥ " : i === 0 && scale.low < 0 ? "≤ " : "";
    mark.textContent = beyond + String(Number((scale.low + ((scale.high - scale.low) * i) / scale.spaces).toFixed(3)));
    marks.append(mark);
  }
  box.append(bar, marks);
  return box;
}

function classes(stops: string[], names: string[]): HTMLElement {
  const box = document.createElement("div");
  box.className = "classes";
  names.forEach((name, i) => {
    const swatch = document.createElement("span");
    swatch.style.setProperty("--colour", stops[i]!);
    swatch.textContent = name;
    box.append(swatch);
  });
  return box;
}
