// The box that finds offers what there is while something is typed: the page of results is asked
// for, and what it found becomes the list of the box. One that is chosen is gone to.

const PAUSE_MS = 150;
const LIMIT_MS = 5000;
const LEAST = 2;

const box = document.querySelector("[data-find]");
const list = document.getElementById("suggested");
const places = new Map();
let pause = 0;
let running = null;

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

function ask(text) {
  if (running) running.abort();
  const request = new XMLHttpRequest();
  running = request;
  request.responseType = "document";
  request.timeout = LIMIT_MS;
  request.open("GET", `/_ui/find?${new URLSearchParams({ q: text, jump: "no" })}`);
  request.addEventListener("load", () => {
    if (running === request && request.status === 200 && request.response) offer(request.response);
  });
  request.send();
}

if (box && list) {
  box.addEventListener("input", (event) => {
    const text = box.value.trim();
    clearTimeout(pause);
    // A browser that fills in what was chosen says so, or says nothing of how it was typed.
    const isChosen = !event.inputType || event.inputType === "insertReplacementText";
    if (isChosen && places.has(text)) location.assign(places.get(text));
    else if (text.length >= LEAST) pause = setTimeout(() => ask(text), PAUSE_MS);
  });
}
