// The list follows the filter while it is typed: the same address is asked for, and the list is
// taken out of the answer.

import { here, say, take } from "./region.js";

const PAUSE_MS = 50;
const DIM_MS = 150;
let pause = 0;

function addressOf(form) {
  const query = new URLSearchParams(new FormData(form));
  for (const [name, value] of [...query]) if (!value) query.delete(name);
  const text = query.toString();
  return form.getAttribute("action") + (text ? `?${text}` : "");
}

function show(region, page, address) {
  const found = page && page.querySelector("[data-region]");
  if (!found) {
    location.assign(address);
    return;
  }
  take(region, found);
  for (const name of ["data-plain", "data-sifted"]) {
    region.toggleAttribute(name, found.hasAttribute(name));
  }
  choices(page);
  const [shown, count] = [document, page].map((from) => from.querySelector("[data-count]"));
  if (count && shown) {
    shown.textContent = count.textContent;
    say(count.textContent);
  }
  history.replaceState(history.state, "", address);
  for (const back of document.querySelectorAll("header [name=next], footer [name=next]")) {
    back.value = address;
  }
}

// What can be chosen changes with what is: the focus stays where it is.
function choices(page) {
  const [box, fresh] = [document, page].map((from) => from.querySelector("[data-filter]"));
  for (const name of ["aria-label", "placeholder"]) box.setAttribute(name, (fresh || box).getAttribute(name));
  const [mine, other] = [document, page].map((from) => from.querySelector("[data-part=facets]"));
  if (!mine || !other) return;
  const namesOf = (part) => [...part.children].map((field) => field.name).join();
  if (namesOf(mine) === namesOf(other)) {
    for (const [at, field] of [...other.children].entries()) {
      // A field that its options leave one by one chooses another each time.
      const { value } = field;
      mine.children[at].replaceChildren(...field.childNodes);
      mine.children[at].value = value;
    }
    return;
  }
  const focused = mine.contains(document.activeElement) ? document.activeElement.name : "";
  mine.replaceChildren(...other.childNodes);
  if (focused) (mine.querySelector(`[name=${focused}]`) || document.querySelector("[data-filter]")).focus();
}

async function follow(form) {
  const region = document.querySelector("[data-region]");
  const address = addressOf(form);
  const dim = setTimeout(() => region.setAttribute("aria-busy", "true"), DIM_MS);
  const answer = await here.ask(address);
  clearTimeout(dim);
  region.removeAttribute("aria-busy");
  if (!answer) return;
  show(region, answer.status === 200 ? answer.page : null, address);
}

function formOf(event) {
  const form = event.target.closest("form");
  if (!form || !form.querySelector("[data-filter]")) return null;
  return document.querySelector("[data-region]") ? form : null;
}

// Heard on the whole page: a filter that came later, with the first row, is one too.
document.addEventListener("input", (event) => {
  const form = event.target.matches("[data-filter]") && formOf(event);
  if (!form) return;
  clearTimeout(pause);
  pause = setTimeout(() => follow(form), PAUSE_MS);
});
document.addEventListener("change", (event) => {
  const form = event.target.matches("[data-facet]") && formOf(event);
  if (!form) return;
  clearTimeout(pause);
  follow(form);
});
document.addEventListener("submit", (event) => {
  const form = formOf(event);
  if (!form) return;
  event.preventDefault();
  clearTimeout(pause);
  follow(form);
});
