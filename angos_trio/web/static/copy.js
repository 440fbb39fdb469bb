// Buttons that copy. On plain HTTP, away from this host, a browser offers no clipboard: then an
// older command does it, and where that fails too the text is marked and a person does it.

import { say } from "./region.js";

function byCommand(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.setAttribute("readonly", "");
  area.className = "vh";
  document.body.append(area);
  area.select();
  let copied = false;
  try {
    copied = document.execCommand("copy");
  } catch {
    copied = false;
  }
  area.remove();
  return copied;
}

async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // The page may not be in front, or the permission may be refused.
    }
  }
  return byCommand(text);
}

function textOf(place) {
  const row = "pull" in place.dataset && place.closest("tr");
  if (row) return row.closest("[data-pull-of]").dataset.pullOf + row.querySelector("th a").textContent;
  return place.dataset.copy || place.querySelector("code").textContent;
}

function mark(place) {
  const shown = place.querySelector("code");
  if (shown) getSelection().selectAllChildren(shown);
}

async function answer(button) {
  const place = button.parentElement;
  const copied = await copy(textOf(place));
  button.focus();
  if (copied) {
    button.dataset.done = "";
    setTimeout(() => delete button.dataset.done, 1600);
  } else {
    mark(place);
  }
  say(copied ? "Copied" : "Press Ctrl+C to copy");
}

function offer(within) {
  for (const place of within.querySelectorAll("[data-copy], [data-pull]")) {
    if (place.querySelector(":scope > .copy")) continue;
    const button = document.createElement("button");
    const what = place.dataset.what || textOf(place);
    button.type = "button";
    button.className = "copy";
    button.title = `Copy ${what}`;
    button.setAttribute("aria-label", button.title);
    place.append(button);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest(".copy");
  if (button) answer(button);
});
offer(document);
document.addEventListener("region", (event) => offer(event.target));
