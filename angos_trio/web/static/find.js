// The box that finds offers what there is while something is typed: the page of results is asked
// for, and what it found becomes the list of the box. One that is chosen is gone to.

import { Asking } from "./region.js";

const PAUSE_MS = 150;
const LEAST = 2;

const box = document.querySelector("[data-find]");
const list = document.getElementById("suggested");
const places = new Map();
const asking = new Asking();
let pause = 0;

function offer(page) {
  places.clear();
  list.replaceChildren();
  for (const link of page.querySelectorAll("[data-suggest]")) {
    const text = link.dataset.suggest;
    if (places.has(text)) continue;
    places.set(text, link.getAttribute("href"));
    const option = document.createElement("option");
    option.value = text;
    list.append(option);
  }
}

async function suggest(text) {
  const query = new URLSearchParams({ q: text, jump: "no" });
  const answer = await asking.ask(`/_ui/find?${query}`);
  if (answer && answer.status === 200 && answer.page) offer(answer.page);
}

if (box && list) {
  box.addEventListener("input", (event) => {
    const text = box.value.trim();
    clearTimeout(pause);
    // A browser that fills in what was chosen says so, or says nothing of how it was typed.
    const isChosen = !event.inputType || event.inputType === "insertReplacementText";
    if (isChosen && places.has(text)) location.assign(places.get(text));
    else if (text.length >= LEAST) pause = setTimeout(() => suggest(text), PAUSE_MS);
  });
}
