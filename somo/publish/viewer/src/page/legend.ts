/** The colour bar of what is drawn, its numbers for anybody to set, and what the other appearances mean. */

import { type Scale, table } from "../map/colours";

/** Where between the ends of the bar its numbers stand, as a share; style.css puts them there. */
const MARKS = [0.25, 0.5, 0.75];

export function legend(scale: Scale, note: string, set: (range: [number, number] | null) => void): HTMLElement[] {
  const title = document.createElement("strong");
  title.textContent = `${scale.label}${scale.units ? ` [${scale.units}]` : ""}${note ? ` · ${note}` : ""}`;
  return [title, scale.classes ? classes(scale.stops, scale.classes) : ramp(scale, set), appearances()];
}

function ramp(scale: Scale, set: (range: [number, number] | null) => void): HTMLElement {
  const box = document.createElement("div");
  box.className = "bar";
  const bar = document.createElement("canvas");
  bar.className = "ramp";
  const colours = table(scale);
  bar.width = colours.length;
  bar.height = 1;
  const pixels = new ImageData(colours.length, 1);
  new Uint32Array(pixels.data.buffer).set(colours);
  bar.getContext("2d")!.putImageData(pixels, 0, 0);
  const marks = document.createElement("div");
  marks.className = "marks";
  const low = field("Lowest colour", scale.low, (value) => set([value, scale.high]));
  const high = field("Highest colour", scale.high, (value) => set([scale.low, value]));
  for (const share of MARKS) {
    const mark = document.createElement("span");
    mark.textContent = String(Number((scale.low + share * (scale.high - scale.low)).toFixed(3)));
    marks.append(mark);
  }
  const fitting = document.createElement("button");
  fitting.type = "button";
  fitting.id = "fit";
  fitting.textContent = "Fit colours";
  fitting.onclick = () => set(null);
  box.append(bar, marks);
  const both = document.createElement("div");
  both.className = "scale";
  both.append(low, box, high, fitting);
  return both;
}

function field(label: string, value: number, change: (value: number) => void): HTMLInputElement {
  const input = document.createElement("input");
  input.type = "number";
  input.step = "any";
  input.value = String(value);
  input.setAttribute("aria-label", label);
  input.onchange = () => Number.isFinite(input.valueAsNumber) && change(input.valueAsNumber);
  return input;
}

function classes(stops: string[], names: string[]): HTMLElement {
  return swatches(names.map((name, i) => [name, stops[i]!, ""]));
}

function appearances(): HTMLElement {
  return swatches([["sea", "", "sea"], ["land without values", "", "novalue"], ["outside the grid", "", "outside"]]);
}

function swatches(entries: [name: string, colour: string, kind: string][]): HTMLElement {
  const box = document.createElement("div");
  box.className = "classes";
  for (const [name, colour, kind] of entries) {
    const swatch = document.createElement("span");
    if (colour) swatch.style.setProperty("--colour", colour);
    else swatch.className = kind;
    swatch.textContent = name;
    box.append(swatch);
  }
  return box;
}
