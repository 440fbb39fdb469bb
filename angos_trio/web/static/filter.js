// The list follows the filter while it is typed. The server makes whole pages only: the same
// address is asked for, and the list is taken out of the answer. What is parsed so runs no script.

const PAUSE_MS = 120;
const DIM_MS = 150;
const LIMIT_MS = 15000;

const input = document.querySelector("[data-filter]");
const region = document.querySelector("[data-region]");

function addressOf(form) {
  const query = new URLSearchParams(new FormData(form));
  if (!query.get("q")) query.delete("q");
  const text = query.toString();
  return form.getAttribute("action") + (text ? `?${text}` : "");
}

function follow(form) {
  let running = null;
  let pause = 0;

  function show(page, address) {
    const found = page && page.querySelector("[data-region]");
    const count = page && page.querySelector("[data-count]");
    if (!found) {
      location.assign(address);
      return;
    }
    region.replaceChildren(...found.childNodes);
    region.dispatchEvent(new Event("region", { bubbles: true }));
    const shown = document.querySelector("[data-count]");
    if (count && shown) {
      shown.textContent = count.textContent;
      document.getElementById("said").textContent = count.textContent;
    }
    history.replaceState(history.state, "", address);
  }

  function ask() {
    const address = addressOf(form);
    if (running) running.abort();
    const request = new XMLHttpRequest();
    running = request;
    const dim = setTimeout(() => region.setAttribute("aria-busy", "true"), DIM_MS);
    request.responseType = "document";
    request.timeout = LIMIT_MS;
    request.open("GET", address);
    request.addEventListener("loadend", () => {
      clearTimeout(dim);
      if (running !== request) return;
      running = null;
      region.removeAttribute("aria-busy");
    });
    request.addEventListener("load", () => {
      if (running === request) show(request.status === 200 ? request.response : null, address);
    });
    for (const failed of ["error", "timeout"]) {
      request.addEventListener(failed, () => location.assign(address));
    }
    request.send();
  }

  input.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(ask, PAUSE_MS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(pause);
    ask();
  });
}

if (input && region) follow(input.form);
