/** The panel of one cell: its place, its chart, the values of a day, and files to take away. */

import type { Version } from "../data/version";
import { get, reason, say } from "../dom";
import { isoDate } from "../format";
import { SCALES } from "../map/colours";
import { give, savePicture, seriesTable } from "../page/saving";
import { seriesInWords } from "../page/words";
import type { View } from "../view";
import type { Chart } from "./chart";
import { type Values, wholeGraph, yearGraph } from "./graphs";
import { cellSubject, regionSubject, type Subject } from "./subject";
import { yearOf } from "./years";

/** How long the chart of another cell stays before it gives way to an empty one: as long as that of a map. */
const PATIENCE_MS = 250;

export class Panel {
  private chart: Chart | null = null;
  private asked = 0;
  private subject: Subject | null = null;
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

  /** Read and show the chosen cell or country. */
  async show(): Promise<void> {
    if (!this.view.cell && this.view.region === null) return;
    const asked = ++this.asked;
    get("series").dataset["state"] = "loading";
    const impatient = window.setTimeout(() => asked === this.asked && this.clear("Reading the series …"), PATIENCE_MS);
    try {
      const [subject, { Chart }] = await Promise.all([this.read(), import("./chart")]);
      if (asked !== this.asked) return;
      this.chart ??= new Chart(get("chart"), {
        chosen: (stamp) => this.choose(stamp - this.version.days[0]!),
        over: (index) => this.tell(index),
      });
      this.subject = subject;
      get("place").textContent = subject.title;
      this.draw();
      get("series").dataset["state"] = "ready";
      document.body.dataset["series"] = subject.key;
    } catch (error) {
      if (asked !== this.asked) return;
      this.clear("");
      get("series").dataset["state"] = "failed";
      say(get("placenote"), `The series cannot be read: ${reason(error)}.`, () => void this.show());
    } finally {
      window.clearTimeout(impatient);
    }
  }

  /** Show no series: no place is chosen any more. */
  forget(): void {
    if (!this.subject) return;
    this.asked++;
    this.clear("Choose a cell of the map or a country to see its series.");
    get("place").textContent = "No place chosen";
    get("series").dataset["state"] = "none";
  }

  private async read(): Promise<Subject> {
    const { version, view } = this;
    if (view.cell) return cellSubject(version, view.cell, view.layer, this.isLand);
    const regions = await version.openRegions();
    const region = regions?.find(view.region);
    if (!regions || !region) throw new Error(`this version has no series of a country with the code ${view.region}`);
    return regionSubject(version, regions, region, view.layer);
  }

  /** Follow a change of day or quantity without reading anything. */
  follow(): void {
    if (!this.subject) return;
    const year = yearOf(this.version.days[this.view.day]!);
    const same = this.shown?.name === this.subject.values(this.view.quantity).name;
    if (same && (this.mode.value === "whole" || year === this.year)) this.mark();
    else this.draw();
  }

  private year = 0;

  private draw(): void {
    const { subject, version, view } = this;
    if (!subject) return;
    const some = subject.hasValues;
    this.shown = subject.values(view.quantity);
    this.year = yearOf(version.days[view.day]!);
    const byYear = this.mode.value === "year";
    this.chart!.show(some ? (byYear ? yearGraph(this.shown, this.year) : wholeGraph(this.shown)) : null);
    get("chart").setAttribute("aria-label", `Chart of ${this.shown.name} : ${subject.title}`);
    get("placenote").textContent = some ? this.note(byYear) : subject.empty;
    for (const id of ["csv", "chartpng", "whole"]) get<HTMLButtonElement>(id).disabled = !some;
    const rows = some ? seriesInWords(this.shown) : [];
    get("serieswords").replaceChildren(...rows.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
    this.mark();
  }

  private mark(): void {
    this.chart?.mark(this.version.days[this.view.day]!);
    this.tell(null);
  }

  private note(byYear: boolean): string {
    const { shown, subject, year } = this;
    if (shown!.areas) return `Shares of the area by drought class, from yellow (D0) to dark red (D4); line: D1 or drier.${subject!.care}`;
    const all = byYear
      ? `Line: ${year}. Shades: what all years had within a week of the day: half, four fifths and all of their values. Dashed: their median.`
      : `Line: ${shown!.name}. Dashed: median of all years.`;
    const limits = shown!.levelsName ? ` Thin lines: ${shown!.levelsName}.` : "";
    const share = shown!.reach === 1.645 ? ", which is to hold 90 %" : "";
    const band = shown!.half ? ` Band: ± ${shown!.reach} × ${shown!.halfName}${share}.` : "";
    const frost = shown!.frozen?.includes(1) ? " Blue ground: days on which the soil counts as frozen." : "";
    return `${all}${limits}${band}${frost}${subject!.care}`;
  }

  /** Tell the values of the stamp under the pointer, or of the chosen day. */
  private tell(index: number | null): void {
    if (!this.shown) return;
    const { stamps, values, half, units, digits, frozen, areas } = this.shown;
    const list = this.mode.value === "year" ? Array.from(stamps.keys()).filter((i) => yearOf(stamps[i]!) === this.year) : null;
    const chosen = this.version.days[this.view.day]!;
    let at = index === null ? stamps.findLastIndex((stamp) => stamp <= chosen) : list ? (list[index] ?? -1) : index;
    if (at >= 0 && Number.isNaN(values[at]!)) at = -1;
    const spread = at >= 0 && half ? ` ± ${half[at]!.toFixed(digits)}` : "";
    const what = areas ? `${this.shown.name} ` : "";
    const frost = at >= 0 && frozen?.[at] === 1 ? ", frozen ground" : "";
    get("reading").textContent = at < 0 ? "" : `${isoDate(stamps[at]!)}: ${what}${values[at]!.toFixed(digits)}${spread} ${units}${frost}`;
  }

  private clear(text: string): void {
    this.subject = this.shown = null;
    this.chart?.show(null);
    delete document.body.dataset["series"];
    get("placenote").textContent = text;
    get("reading").textContent = "";
    get("serieswords").replaceChildren();
    for (const id of ["csv", "chartpng", "whole"]) get<HTMLButtonElement>(id).disabled = true;
  }

  private fileName(kind: string): string {
    return `${this.shown!.name.replaceAll(" ", "_")}_${this.subject!.fileStem}.${kind}`;
  }

  private saveTable(): void {
    const { layers } = this.version;
    const text = seriesTable(this.shown!, this.subject!.place, layers[this.view.layer]!.name.replace("–", "-"), this.version);
    give(new Blob([text], { type: "text/csv" }), this.fileName("csv"));
  }

  private async savePicture(): Promise<void> {
    const title = [this.subject!.title, `${SCALES[this.view.quantity].label}: ${this.shown!.name} [${this.shown!.units}]`];
    if (this.chart?.canvas) await savePicture(this.chart.canvas, title, this.version, this.fileName("png"));
  }
}
