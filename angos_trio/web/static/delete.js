// Deleting without leaving the page. What would go is asked of the server, by the address that is
// a page without a script: a tag that takes nothing with it is confirmed in its row, everything
// else in a dialog with what that page says.

import { say, send, take, tell } from "./region.js";

let armed = null;

function bodyOf(form, submitter) {
  const body = new URLSearchParams(new FormData(form));
  if (submitter && submitter.name) body.set(submitter.name, submitter.value);
  return body;
}

function button(text, className) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = className;
  made.textContent = text;
  return made;
}

// One tag, in its own row: the focus is on what does nothing.

function disarm(focuses) {
  if (!armed) return;
  const { opener, box } = armed;
  armed = null;
  box.parentElement?.classList.remove("armed");
  box.remove();
  opener.hidden = false;
  if (focuses) opener.focus();
}

function arm(opener, form) {
  disarm(false);
  const box = document.createElement("span");
  const confirm = button("Delete", "button danger");
  const cancel = button("Cancel", "button");
  const name = opener.getAttribute("aria-label");
  box.className = "arms";
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", `${name}?`);
  confirm.setAttribute("aria-label", `Confirm: ${name}`);
  box.append(confirm, cancel);
  opener.hidden = true;
  opener.after(box);
  box.parentElement.classList.add("armed");
  armed = { opener, box };
  confirm.addEventListener("click", () => {
    confirm.disabled = true;
    remove(form, opener, null);
  });
  cancel.addEventListener("click", () => disarm(true));
  box.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !box.contains(event.relatedTarget)) disarm(false);
  });
  cancel.focus();
  say(`${name}? Confirm or cancel.`);
}

document.addEventListener("pointerdown", (event) => {
  if (armed && !armed.box.contains(event.target)) disarm(false);
});
document.addEventListener("keydown", (event) => {
  if (armed && event.key === "Escape") disarm(true);
});

// Everything else, in a dialog.

function show(content, opener) {
  const dialog = document.createElement("dialog");
  dialog.dataset.deletes = "";
  document.body.append(dialog);
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (opener.isConnected) opener.focus();
    else document.getElementById("main").focus();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-cancel]")) {
      event.preventDefault();
      dialog.close();
    }
  });
  dialog.addEventListener("submit", (event) => {
    if (!document.querySelector("[data-region]")) return;
    const form = event.target;
    if (form.getAttribute("action") !== "/_ui/delete") return;
    event.preventDefault();
    for (const each of form.querySelectorAll("button")) each.disabled = true;
    remove(form, opener, dialog);
  });
  fill(dialog, content);
  dialog.showModal();
  focusIn(dialog);
}

function fill(dialog, content) {
  const title = document.createElement("h2");
  const head = content.querySelector("h1");
  title.id = "dialog-title";
  title.append(...head.childNodes);
  head.replaceWith(title);
  dialog.setAttribute("aria-labelledby", title.id);
  dialog.replaceChildren(content);
}

function focusIn(dialog) {
  const place = dialog.querySelector("[name=typed]") || dialog.querySelector("[data-cancel]");
  if (place) place.focus();
}

async function look(opener, address) {
  opener.setAttribute("aria-busy", "true");
  const { page } = await send("GET", address);
  const content = page && page.querySelector("[data-confirm]");
  if (!content) {
    location.assign(address);
    return;
  }
  opener.removeAttribute("aria-busy");
  const form = content.querySelector("form");
  if (form && content.hasAttribute("data-simple") && opener.matches(".trash")) arm(opener, form);
  else show(content, opener);
}

function insideOf(page) {
  const part = document.createElement("div");
  part.className = "confirm";
  part.append(...page.querySelector("main").childNodes);
  return part;
}

async function remove(form, opener, dialog) {
  const place = placeOf(opener);
  const { page } = await send("POST", form.getAttribute("action"), bodyOf(form));
  if (!page) {
    disarm(true);
    say("The registry did not answer. Look at the list again before you repeat it.");
    if (dialog) dialog.close();
    return;
  }
  const outcome = page.querySelector("[data-outcome]");
  const content = outcome || page.querySelector("[data-confirm]") || insideOf(page);
  const isDone = outcome && outcome.dataset.failed === "0";
  disarm(false);
  if (outcome) {
    say(outcome.dataset.outcome);
    refresh(place);
  }
  if (isDone) {
    if (dialog) dialog.close();
  } else if (dialog) {
    fill(dialog, content);
    focusIn(dialog);
  } else {
    show(content, opener);
  }
}

// A button in each row that can go. A hundred of them would make a page a tenth larger, and without
// a script there are boxes, and the page of the manifest.

function put(cell, name, reference, label) {
  if (!cell || cell.querySelector(".trash")) return;
  const link = document.createElement("a");
  link.className = "trash";
  link.href = `/_ui/delete?${new URLSearchParams({ ns: name, ref: reference })}`;
  link.setAttribute("aria-label", `Delete ${label}`);
  link.title = link.getAttribute("aria-label");
  cell.prepend(link);
}

const shortOf = (digest) => digest.split(":")[1].slice(0, 12);

function offer(within) {
  for (const box of within.querySelectorAll("[data-chosen] [name=ref]:not([disabled])")) {
    const label = box.value.includes(":") ? `manifest ${shortOf(box.value)}` : box.value;
    put(box.closest("tr").querySelector(".c-do"), box.form.elements.ns.value, box.value, label);
  }
  for (const cell of within.querySelectorAll("[data-trash]")) {
    const digest = cell.closest("tr").querySelector("th").title;
    const label = `manifest ${shortOf(digest)}`;
    put(cell, cell.closest("table").dataset.of, digest, label);
  }
}

offer(document);
document.addEventListener("region", (event) => offer(event.target));

// The list as it is now; the focus goes to the row that took the place of the one that went.

function placeOf(opener) {
  const row = opener.closest("tbody tr");
  return row ? [...row.parentElement.children].indexOf(row) : -1;
}

async function refresh(place) {
  const region = document.querySelector("[data-region]");
  if (!region) return;
  const { page } = await send("GET", location.href);
  const found = page && page.querySelector("[data-region]");
  if (!found) {
    location.reload();
    return;
  }
  take(region, found);
  for (const name of ["[data-count]", "main .said"]) {
    const [shown, told] = [document.querySelector(name), page.querySelector(name)];
    if (shown && told) shown.textContent = told.textContent;
  }
  const rows = region.querySelectorAll("tbody tr");
  const next = rows[Math.min(place, rows.length - 1)];
  const link = place >= 0 && next && next.querySelector(".trash, a");
  if (!document.querySelector("dialog[open]")) (link || document.getElementById("main")).focus();
}

document.addEventListener("click", (event) => {
  const opener = event.target.closest("a.trash, a[data-delete]");
  const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey;
  if (!opener || !isPlain) return;
  event.preventDefault();
  if (!opener.getAttribute("aria-busy")) look(opener, opener.href);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches("form.chosen[data-chosen]")) {
    event.preventDefault();
    const body = bodyOf(form, event.submitter);
    if (body.has("all")) body.delete("ref");
    else for (const name of [...body.keys()]) if (name !== "ns" && name !== "ref") body.delete(name);
    look(event.submitter, `${form.getAttribute("action")}?${body}`);
  } else if (form.matches("form[data-cancels]")) {
    event.preventDefault();
    cancel(form, event.submitter);
  }
});

// Uploads: what was cancelled goes from the list at once.

async function cancel(form, submitter) {
  submitter.disabled = true;
  const { page } = await send("POST", form.getAttribute("action"), bodyOf(form));
  const outcome = page && page.querySelector("[data-outcome]");
  if (!outcome) {
    form.submit();
    return;
  }
  say(outcome.dataset.outcome);
  const names = new Set(bodyOf(form).getAll("upload"));
  const gone = [...document.querySelectorAll("[name=upload]")].filter((e) => names.has(e.value));
  if (outcome.dataset.failed !== "0") {
    show(outcome, submitter);
    submitter.disabled = false;
    return;
  }
  const table = form.closest("section.uploads") || form;
  for (const each of gone) each.closest("tr").remove();
  if (!table.querySelector("tbody tr")) table.remove();
  else tell(form);
  document.getElementById("main").focus();
}
