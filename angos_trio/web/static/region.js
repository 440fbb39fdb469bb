// A page asked for beside the one that is open, so that a part of it can be taken. The server makes
// whole pages only. What is parsed so runs no script.

const LIMIT_MS = 15000;
let running = null;

export function isAsking() {
  return running !== null;
}

// The page at an address with its status; 0 and no page where nothing answers. Null: another
// question came meanwhile, and its answer counts.
export function ask(address) {
  if (running) running.abort();
  const request = new XMLHttpRequest();
  running = request;
  return new Promise((resolve) => {
    request.addEventListener("loadend", () => {
      if (running !== request) {
        resolve(null);
        return;
      }
      running = null;
      resolve({ status: request.status, page: request.response });
    });
    request.responseType = "document";
    request.timeout = LIMIT_MS;
    request.open("GET", address);
    request.send();
  });
}

// Everything in a place is replaced; scripts that give it buttons and roles are told.
export function take(place, found) {
  place.replaceChildren(...found.childNodes);
  tell(place);
}

export function tell(place) {
  place.dispatchEvent(new Event("region", { bubbles: true }));
}

export function say(text) {
  document.getElementById("said").textContent = text;
}
