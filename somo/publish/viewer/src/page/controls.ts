/** Buttons, fields and keys of the page. */

import { get, reason, say } from "../dom";
import type { Quantity } from "../map/colours";
import type { Page } from "./page";
import { type Language, recipe } from "./recipes";
import { savePicture } from "./saving";
import { type Place, readPlaces, search } from "./search";

export function listenControls(page: Page): void {
  for (const [days, name] of [[1, "1 day"], [5, "5 days"], [10, "10 days"], [30, "30 days"]] as const) {
    get<HTMLSelectElement>("step").add(new Option(name, String(days)));
  }
  listenChoices(page);
  listenKeys(page);
  listenSearch(page);
  listenStations(page);
  get("link").onclick = () => void copy("link", page.address);
  for (const language of ["python", "r", "shell"] as Language[]) {
    get(`as-${language}`).onclick = () => void copy(`as-${language}`, recipe(language, page.view, page.version));
  }
  get("mappng").onclick = () => {
    const { picture, version } = page;
    page.map.drawNow();
    if (picture) void savePicture(get<HTMLCanvasElement>("map"), [picture.name], version, `${document.body.dataset["shown"]!.replaceAll(" ", "_")}.png`, picture.scale);
  };
}

function listenChoices(page: Page): void {
  get<HTMLSelectElement>("layer").onchange = (event) => void page.choose({ layer: Number((event.target as HTMLSelectElement).value) });
  get<HTMLSelectElement>("quantity").onchange = (event) =>
    void page.choose({ quantity: (event.target as HTMLSelectElement).value as Quantity });
  get<HTMLInputElement>("slider").oninput = (event) => void page.choose({ day: Number((event.target as HTMLInputElement).value) });
  get<HTMLInputElement>("date").onchange = (event) => void page.choose({ day: page.version.day((event.target as HTMLInputElement).value) });
  // A pointer comes, a finger taps or the keyboard arrives: time enough to learn where the days lie.
  for (const arrival of ["pointerenter", "focusin"]) get("timeline").addEventListener(arrival, () => page.ahead.leaf(), { once: true });
  get("play").onclick = () => page.play(!page.playing);
  for (const id of ["controls", "timeline", "finding"]) get(id).onsubmit = (event) => event.preventDefault();
  get("zoom").onclick = (event) => {
    const how = (event.target as HTMLElement).dataset["zoom"];
    if (how) zoom(page, how);
  };
}

function zoom(page: Page, how: string): void {
  if (how === "all") page.map.view = { ...page.map.view, zoom: 1 };
  else page.map.zoomAt(how === "in" ? 1.5 : 1 / 1.5);
  page.remember();
}

function listenKeys(page: Page): void {
  const { view, map, version } = page;
  document.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const field = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    const button = event.target instanceof HTMLButtonElement || event.target instanceof HTMLElement && event.target.tagName === "SUMMARY";
    if (field) return;
    if (event.key === "," || event.key === ".") void page.choose({ day: view.day + (event.key === "." ? 1 : -1) });
    else if (event.key === " " && !button) page.play(!page.playing);
    else if (/^[1-9]$/.test(event.key)) void page.choose({ layer: Number(event.key) - 1 });
    else return;
    event.preventDefault();
  };
  get("map").onkeydown = (event) => {
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const { lat, lon } = version.axes;
    const down = lat[0]! > lat.at(-1)! ? 1 : -1;
    if (by) {
      const from = map.cursor ?? { row: lat.length >> 1, column: lon.length >> 1 };
      map.cursor = {
        row: Math.min(Math.max(from.row + by[0]! * down, 0), lat.length - 1),
        column: Math.min(Math.max(from.column + by[1]!, 0), lon.length - 1),
      };
      map.draw();
      page.hover(map.cursor);
    } else if (event.key === "Enter" && map.cursor) page.chooseCell(map.cursor);
    else if ("+-0".includes(event.key)) zoom(page, { "+": "in", "-": "out", "0": "all" }[event.key]!);
    else return;
    event.preventDefault();
  };
}

function listenSearch(page: Page): void {
  const [field, list] = [get<HTMLInputElement>("search"), get("found")];
  const inside = (lat: number, lon: number) => page.version.cellOf(lat, lon) !== null;
  const go = ({ lat, lon, name }: Place) => {
    list.replaceChildren();
    field.value = name;
    const cell = page.version.cellOf(lat, lon);
    page.map.view = { zoom: Math.max(page.map.view.zoom, 4), lon: cell ? page.version.axes.lon[cell.column]! : lon, lat };
    page.chooseCell(cell);
  };
  field.onfocus = () => void readPlaces().catch(() => undefined);
  field.oninput = async () => {
    const text = field.value;
    try {
      const places = await search(text, inside);
      if (text !== field.value) return;
      list.replaceChildren(...places.map((place) => choice(place, () => go(place))));
      if (!places.length && text.trim()) say(list, "No town of 20,000 people and more begins so inside the grid.");
    } catch (error) {
      say(list, `Names cannot be searched: ${reason(error)}.`);
    }
  };
  field.onkeydown = (event) => {
    if (event.key === "Enter") list.querySelector("button")?.click();
    if (event.key === "Escape") list.replaceChildren();
  };
  get("locate").onclick = () =>
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => go({ name: "My location", country: "", lat: coords.latitude, lon: coords.longitude }),
      (error) => say(list, `This device does not tell where it is: ${error.message}.`),
    );
}

function choice({ name, country }: Place, go: () => void): HTMLElement {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = country ? `${name} (${country})` : name;
  button.onclick = go;
  return button;
}

interface Stations {
  features: { geometry: { coordinates: [number, number] } }[];
}

function listenStations(page: Page): void {
  const asset = page.version.collection.assets["stations"];
  const box = get<HTMLInputElement>("stations");
  box.parentElement!.hidden = !asset;
  box.onchange = async () => {
    try {
      const response = box.checked ? await fetch(new URL(asset!.href, page.version.url)) : null;
      if (response && !response.ok) throw new Error(String(response.status));
      const list = response ? ((await response.json()) as Stations).features : [];
      page.map.stations = list.map(({ geometry }) => geometry.coordinates);
      document.body.dataset["stations"] = String(list.length);
    } catch (error) {
      box.checked = false;
      say(get("found"), `The stations cannot be read: ${reason(error)}.`);
    }
    page.map.draw();
  };
}

async function copy(id: string, text: string): Promise<void> {
  const button = get<HTMLButtonElement>(id);
  const former = button.dataset["name"] ?? (button.dataset["name"] = button.textContent!);
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    window.prompt("Copy this", text);
  }
  window.setTimeout(() => (button.textContent = former), 1500);
}
