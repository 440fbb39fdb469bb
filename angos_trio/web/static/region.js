// A page asked for beside the one that is open, so that a part of it can be taken. The server makes
// whole pages only. What is parsed so runs no script.

const LOOK_MS = 15000;
const SEND_MS = 60000;

function request(method, address, body, limitMs) {
  const asked = new XMLHttpRequest();
  asked.responseType = "document";
  asked.timeout = limitMs;
  asked.open(method, address);
  const answer = new Promise((resolve) => {
    asked.addEventListener("loadend", () => {
      resolve({ status: asked.status, page: asked.response });
    });
  });
  asked.send(body);
  return { asked, answer };
}

// What answers a form, or the address of one: its status and the page; 0 and no page where nothing
// answers.
export function send(method, address, body = null) {
  return request(method, address, body, SEND_MS).answer;
}

// Of several questions about one thing only the last counts.
export class Asking {
  #running = null;

  get isBusy() {
    return this.#running !== null;
  }

  // The page at an address, as above; null: another question came meanwhile.
  async ask(address) {
    if (this.#running) this.#running.abort();
    const { asked, answer } = request("GET", address, null, LOOK_MS);
    this.#running = asked;
    const found = await answer;
    if (this.#running !== asked) return null;
    this.#running = null;
    return found;
  }
}

// What asks for the page that is open.
export const here = new Asking();

// Everything in a place is replaced; scripts that give it buttons and roles are told.
export function take(place, found) {
  place.replaceChildren(...found.childNodes);
  tell(place);
}

export function tell(place) {
  place.dispatchEvent(new Event("region", { bubbles: true }));
}

// To who hears the page.
export function say(text) {
  const said = document.getElementById("said");
  said.textContent = "";
  // A region that says the same again is heard only if it was empty in between.
  setTimeout(() => {
    said.textContent = text;
  }, 50);
}
