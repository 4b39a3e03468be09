export const get = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;

/** Show a text, and beside it a button that tries again where that may help. */
export function say(box: HTMLElement, text: string, again?: () => void): void {
  box.textContent = text;
  if (!again) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Try again";
  button.onclick = again;
  box.append(" ", button);
}

/** What went wrong at the bottom of it: libraries wrap the errors of this page in their own. */
export function reason(error: unknown): string {
  let deepest = error;
  while (deepest instanceof Error && deepest.cause) deepest = deepest.cause;
  return deepest instanceof Error ? deepest.message : String(deepest);
}
