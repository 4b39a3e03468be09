/** The colour bar of what is drawn, its numbers for anybody to set, and what the other appearances mean. */

import { markText, type Scale, table } from "../map/colours";

/** Where between the ends of the bar its numbers stand, as a share; style.css puts them there. */
const MARKS = [0.25, 0.5, 0.75];

type Choose = (range: [number, number] | null) => void;

/**
 * The legend below the map. Of one quantity its nodes stay and only their numbers change: whoever types an end of the
 * colours loses neither the digits nor the place when another day or the table of countries arrives.
 */
export class Legend {
  private label = "";
  private title = document.createElement("strong");
  private ramp: Ramp | null = null;

  constructor(
    private readonly box: HTMLElement,
    private readonly choose: Choose,
  ) {}

  show(scale: Scale, note: string): void {
    if (scale.label !== this.label) this.build(scale);
    this.title.textContent = `${scale.label}${scale.units ? ` [${scale.units}]` : ""}${note ? ` · ${note}` : ""}`;
    this.ramp?.show(scale);
  }

  private build(scale: Scale): void {
    this.label = scale.label;
    this.ramp = scale.classes ? null : new Ramp(scale, this.choose);
    this.box.replaceChildren(this.title, this.ramp?.node ?? classes(scale.stops, scale.classes!), appearances());
  }
}

/** The colour bar with a field at either end and numbers between. */
class Ramp {
  readonly node = document.createElement("div");
  private readonly low: End;
  private readonly high: End;
  private readonly marks = MARKS.map(() => document.createElement("span"));

  constructor(scale: Scale, choose: Choose) {
    this.low = new End("Lowest colour", (value) => choose([value, this.high.shown]));
    this.high = new End("Highest colour", (value) => choose([this.low.shown, value]));
    const fitting = document.createElement("button");
    fitting.type = "button";
    fitting.id = "fit";
    fitting.textContent = "Fit colours";
    fitting.onclick = () => choose(null);
    const marks = document.createElement("div");
    marks.className = "marks";
    marks.append(...this.marks);
    const bar = document.createElement("div");
    bar.className = "bar";
    bar.append(strip(scale), marks);
    this.node.className = "scale";
    this.node.append(this.low.field, bar, this.high.field, fitting);
  }

  show({ low, high }: Scale): void {
    this.low.show(low);
    this.high.show(high);
    MARKS.forEach((share, i) => (this.marks[i]!.textContent = markText(low + share * (high - low))));
  }
}

/** One end of the colour bar. */
class End {
  readonly field = document.createElement("input");
  shown = NaN;
  private typing = false;

  constructor(label: string, change: (value: number) => void) {
    const { field } = this;
    field.type = "number";
    field.step = "any";
    field.setAttribute("aria-label", label);
    field.oninput = () => (this.typing = true);
    field.onchange = () => {
      this.typing = false;
      if (Number.isFinite(field.valueAsNumber)) change(field.valueAsNumber);
      // A number that cannot be an end was not taken: the field says again what the bar shows.
      this.show(this.shown);
    };
    // Somebody may type a number back to what it was, of which browsers tell no change.
    field.onblur = () => {
      this.typing = false;
      this.show(this.shown);
    };
  }

  show(value: number): void {
    this.shown = value;
    if (!this.typing) this.field.value = String(value);
  }
}

function strip(scale: Scale): HTMLElement {
  const bar = document.createElement("canvas");
  bar.className = "ramp";
  const colours = table(scale);
  bar.width = colours.length;
  bar.height = 1;
  const pixels = new ImageData(colours.length, 1);
  new Uint32Array(pixels.data.buffer).set(colours);
  bar.getContext("2d")!.putImageData(pixels, 0, 0);
  return bar;
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
