/** The panel of one cell: its place, its chart, the values of a day, and files to take away. */

import type { Series, Version } from "../data/version";
import { get, reason, say } from "../dom";
import { east, isoDate, north } from "../format";
import { SCALES } from "../map/colours";
import type { Cell } from "../map/map";
import { give, savePicture, seriesTable } from "../page/saving";
import { seriesInWords } from "../page/words";
import type { View } from "../view";
import type { Chart } from "./chart";
import { valuesOf, type Values, wholeGraph, yearGraph } from "./graphs";
import { yearOf } from "./years";

/** How long the chart of another cell stays before it gives way to an empty one. */
const PATIENCE_MS = 80;

export class Panel {
  private chart: Chart | null = null;
  private asked = 0;
  private series: Series | null = null;
  private cell: Cell | null = null;
  private layer = 0;
  private shown: Values | null = null;
  private readonly mode = get<HTMLSelectElement>("mode");

  constructor(
    private readonly version: Version,
    private readonly view: View,
    private readonly isLand: (lon: number, lat: number) => boolean | null,
    private readonly choose: (day: number) => void,
  ) {
    this.mode.onchange = () => this.draw();
    get("csv").onclick = () => this.saveTable();
    get("chartpng").onclick = () => void this.savePicture();
    get("whole").onclick = () => this.chart?.whole();
    get("chart").onkeydown = (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
      if (step) this.choose(this.view.day + step);
      else if (event.key === "+" || event.key === "-") this.chart?.zoom(event.key === "+" ? 1.5 : 1 / 1.5);
      else return;
      event.preventDefault();
    };
  }

  /** Read and show the chosen cell. */
  async show(): Promise<void> {
    const { cell, layer } = this.view;
    if (!cell) return;
    const asked = ++this.asked;
    get("place").textContent = this.placeName(cell, layer);
    get("series").dataset["state"] = "loading";
    const impatient = window.setTimeout(() => asked === this.asked && this.clear("Reading the series …"), PATIENCE_MS);
    try {
      const [series, { Chart }] = await Promise.all([this.version.series(layer, cell.row, cell.column), import("./chart")]);
      if (asked !== this.asked) return;
      this.chart ??= new Chart(get("chart"), {
        chosen: (stamp) => this.choose(stamp - this.version.days[0]!),
        over: (index) => this.read(index),
      });
      Object.assign(this, { series, cell, layer });
      this.draw();
      get("series").dataset["state"] = "ready";
      document.body.dataset["series"] = `${layer} ${cell.row} ${cell.column}`;
    } catch (error) {
      if (asked !== this.asked) return;
      this.clear("");
      get("series").dataset["state"] = "failed";
      say(get("placenote"), `The series cannot be read: ${reason(error)}.`, () => void this.show());
    } finally {
      window.clearTimeout(impatient);
    }
  }

  /** Follow a change of day or quantity without reading anything. */
  follow(): void {
    if (!this.series || this.layer !== this.view.layer || this.cell !== this.view.cell) return;
    const year = yearOf(this.version.days[this.view.day]!);
    const same = this.shown?.name === valuesOf(this.view.quantity, this.series, this.version).name;
    if (same && (this.mode.value === "whole" || year === this.year)) this.mark();
    else this.draw();
  }

  private year = 0;

  private draw(): void {
    const { series, version, view } = this;
    if (!series) return;
    const some = series.mean.some((v) => !Number.isNaN(v));
    this.shown = valuesOf(view.quantity, series, version);
    this.year = yearOf(version.days[view.day]!);
    const byYear = this.mode.value === "year";
    this.chart!.show(some ? (byYear ? yearGraph(this.shown, this.year) : wholeGraph(this.shown)) : null);
    get("chart").setAttribute("aria-label", `Chart of ${this.shown.name} at ${this.placeName(this.cell!, this.layer)}`);
    get("placenote").textContent = some ? this.note(byYear) : this.without();
    for (const id of ["csv", "chartpng", "whole"]) get<HTMLButtonElement>(id).disabled = !some;
    const rows = some ? seriesInWords(this.shown) : [];
    get("serieswords").replaceChildren(...rows.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
    this.mark();
  }

  private mark(): void {
    this.chart?.mark(this.version.days[this.view.day]!);
    this.read(null);
  }

  private note(byYear: boolean): string {
    const { shown, series, year } = this;
    const all = byYear
      ? `Line: ${year}. Shades: all years, the middle half, four fifths and all of their days within a week. Dashed: their median.`
      : `Line: ${shown!.name}. Dashed: median of all years.`;
    const band = shown!.half ? ` Band: ± 2 × ${shown!.halfName}.` : "";
    const care = series!.applicable ? "" : " This cell is unlike the cells the model was trained on: take its values with care.";
    return `${all}${band}${care}`;
  }

  private without(): string {
    const { lat, lon } = this.version.axes;
    const land = this.isLand(lon[this.cell!.column]!, lat[this.cell!.row]!);
    if (land === null) return "No values in this cell.";
    return land ? "No values in this cell of land: its forcing is missing." : "No values in this cell: sea.";
  }

  /** Tell the values of the stamp under the pointer, or of the chosen day. */
  private read(index: number | null): void {
    if (!this.shown) return;
    const { stamps, values, half, units, digits } = this.shown;
    const list = this.mode.value === "year" ? Array.from(stamps.keys()).filter((i) => yearOf(stamps[i]!) === this.year) : null;
    const chosen = this.version.days[this.view.day]!;
    let at = index === null ? stamps.findLastIndex((stamp) => stamp <= chosen) : list ? (list[index] ?? -1) : index;
    if (at >= 0 && Number.isNaN(values[at]!)) at = -1;
    const spread = at >= 0 && half ? ` ± ${half[at]!.toFixed(digits)}` : "";
    get("reading").textContent = at < 0 ? "" : `${isoDate(stamps[at]!)}: ${values[at]!.toFixed(digits)}${spread} ${units}`;
  }

  private clear(text: string): void {
    this.series = this.shown = null;
    this.chart?.show(null);
    delete document.body.dataset["series"];
    get("placenote").textContent = text;
    get("reading").textContent = "";
    get("serieswords").replaceChildren();
    for (const id of ["csv", "chartpng", "whole"]) get<HTMLButtonElement>(id).disabled = true;
  }

  private placeName({ row, column }: Cell, layer: number): string {
    const { axes, layers } = this.version;
    return `${north(axes.lat[row]!)}, ${east(axes.lon[column]!)} · ${layers[layer]!.name}`;
  }

  private fileName(kind: string): string {
    const { axes } = this.version;
    const { row, column } = this.cell!;
    const name = this.shown!.name.replaceAll(" ", "_");
    return `${name}_${axes.lat[row]!.toFixed(2)}_${axes.lon[column]!.toFixed(2)}_layer${this.layer + 1}.${kind}`;
  }

  private saveTable(): void {
    const { lat, lon } = this.version.axes;
    const place = `cell centred on ${lat[this.cell!.row]!.toFixed(4)} N, ${lon[this.cell!.column]!.toFixed(4)} E`;
    const text = seriesTable(this.shown!, place, this.version.layers[this.layer]!.name.replace("–", "-"), this.version);
    give(new Blob([text], { type: "text/csv" }), this.fileName("csv"));
  }

  private async savePicture(): Promise<void> {
    const title = [this.placeName(this.cell!, this.layer), `${SCALES[this.view.quantity].label}: ${this.shown!.name} [${this.shown!.units}]`];
    if (this.chart?.canvas) await savePicture(this.chart.canvas, title, this.version, this.fileName("png"));
  }
}
