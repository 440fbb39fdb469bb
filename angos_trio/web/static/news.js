// What an event comes to on this page. Numbers and times change where they stand; a row that is
// gone is struck through; a new row appears by itself where nobody is at work in the list, and is
// offered where somebody is. However much happens, the page is asked for once a second on average.

import { here, say, take, tell } from "./region.js";

const EACH_MS = 1000;
const AT_ONCE_MAX = 2;
const GATHER_MS = 40;
const LATER_MS = 2000;
const UPLOADS_MS = 2000;
const UPLOADS_LONGEST_MS = 16000;
const PUSHES_MAX = 1000;
const GONE_MAX = 100;
const GONE = "What this page shows is not there any more.";
const FALLBACK = /^sha(256|512)-[0-9a-f]{64}/;
const HIDDEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu;
const main = document.getElementById("main");
const bar = document.getElementById("news");

const pushes = new Map();
// Deletes that the answer which is shown may be older than.
let deletes = [];
let allowance = AT_ONCE_MAX;
let allowedAt = performance.now();
// The newest event that the page shows what came of.
let shownUpTo = Number(main.dataset.live);
let timer = 0;
let dueAt = Infinity;
// Whether something waits for somebody to leave the list, and whether nothing can be told any more.
let left = false;
let isLost = false;
// Whether it is told that what the page shows was deleted.
let isDeleted = false;

// -- from an event to what is wanted

export function hear(message) {
  if (!isAbout(message.ns)) return;
  const { tag, digest } = message.data;
  if (isPush(message.type)) note(message);
  if (message.type === "tag.deleted") {
    pushes.delete(`${message.ns}:${tag}`);
    strike("tags", tag, message);
  }
  if (message.type === "manifest.deleted") strike("tree", digest, message);
  if (main.dataset.of) hearOfManifest(message);
  if (message.type.startsWith("blob.")) wantLater(LATER_MS);
  else want(GATHER_MS);
}

// In the tree a manifest is a row; in the other lists a tag is what was pushed.
function isPush(type) {
  if (main.querySelector("[data-region] table.tree")) return type === "manifest.pushed";
  return type === "tag.created" || type === "tag.updated";
}

// Of a list that is chosen by more than names, only the server knows whether it has what was pushed.
function isSifted() {
  return Boolean(main.querySelector("[data-region][data-sifted]"));
}

function note(message) {
  if (isSifted()) return;
  const { tag, digest } = message.data;
  if (main.dataset.of || FALLBACK.test(tag) || pushes.size >= PUSHES_MAX) return;
  const reference = tag ? `${message.ns}:${tag}` : `${message.ns}@${shortOf(digest)}`;
  const shown = tag || shortOf(digest);
  pushes.set(reference, { reference, shown, seq: message.seq, by: byWhom(message) });
}

function isAbout(name) {
  const own = main.dataset.name;
  if (!name) return false;
  return !own || name === own || ("deep" in main.dataset && name.startsWith(`${own}/`));
}

function hearOfManifest(message) {
  const { tag, digest } = message.data;
  const by = byWhom(message);
  const isHere = digest === main.dataset.of;
  const isOwn = main.dataset.tag ? tag === main.dataset.tag : isHere;
  if (message.type === "manifest.deleted" && isHere) tellDeleted(`This manifest was deleted${by}.`);
  else if (!isOwn) return;
  else if (message.type === "tag.deleted") tellDeleted(`This tag was deleted${by}.`);
  else if (isDeleted && isHere) tellDeleted("");
  else if (main.dataset.tag && !isHere) {
    isDeleted = false;
    offer(`This tag was moved to another manifest${by}.`, "Show");
  }
}

// Until it is there again, and the text empty, there is nothing to ask for.
function tellDeleted(text) {
  isDeleted = text !== "";
  offer(text);
  clearTimeout(timer);
  dueAt = Infinity;
}

// What could not be told: only a page that is made anew is whole.
export function lose() {
  isLost = true;
  left = false;
  offer("More has changed here than can be told.", "Load again");
}

// Who is looking has to sign in again, and comes back here.
export function refuse(text) {
  const here = location.pathname + location.search;
  offer(text, "Sign in", `/_ui/login?next=${encodeURIComponent(here)}`);
}

// -- asking, within bounds

// What is not urgent leaves a question over for what is.
function wantLater(inMs) {
  want(inMs, AT_ONCE_MAX);
}

function want(inMs, needed = 1) {
  if (isDeleted) return;
  const now = performance.now();
  allowance = Math.min(AT_ONCE_MAX, allowance + (now - allowedAt) / EACH_MS);
  allowedAt = now;
  const at = now + Math.max(inMs, (needed - allowance) * EACH_MS);
  if (at >= dueAt) return;
  clearTimeout(timer);
  dueAt = at;
  timer = setTimeout(refresh, at - now);
}

async function refresh() {
  dueAt = Infinity;
  if (document.hidden || here.isBusy) {
    want(EACH_MS);
    return;
  }
  allowance -= 1;
  const answer = await here.ask(location.href);
  if (!answer || answer.status === 0 || answer.status >= 500) wantLater(LATER_MS);
  else if (answer.status === 401) refuse("Your sign-in has ended.");
  else if (answer.status === 200) bring(answer.page);
  else if (!isDeleted) offer(GONE, "Load again");
}

// Bytes that come are no events: while uploads are shown, they are looked at. Less and less often
// where nothing moves.
let uploadsMs = UPLOADS_MS;

function lookAfterUploads() {
  const before = textOf("uploads");
  if (before && !document.hidden) wantLater(GATHER_MS);
  setTimeout(() => {
    const isStill = textOf("uploads") === before;
    uploadsMs = isStill ? Math.min(uploadsMs * 2, UPLOADS_LONGEST_MS) : UPLOADS_MS;
    lookAfterUploads();
  }, uploadsMs);
}

function textOf(name) {
  const sizes = main.querySelectorAll(`[data-part="${name}"] .c-size`);
  return [...sizes].map((cell) => cell.title).join();
}

// -- from a page to what is shown of it

function bring(page) {
  const found = page.getElementById("main");
  if (!found || found.dataset.of !== main.dataset.of) return;
  shownUpTo = Number(found.dataset.live);
  if (isOtherwiseMade(found)) {
    // The first row of all, for example: there is no list yet in which it could appear.
    if (isFree(main, false)) bringAll(page);
    else offerPushes(isSifted());
    return;
  }
  for (const part of main.querySelectorAll("[data-part]")) {
    const fresh = found.querySelector(`[data-part="${part.dataset.part}"]`);
    if (part.textContent === fresh.textContent) continue;
    if (isFree(part, true)) take(part, fresh);
    else patch(part, fresh);
  }
  const region = main.querySelector("[data-region]");
  if (region) bringRows(region, found.querySelector("[data-region]"));
}

function isOtherwiseMade(found) {
  const partsOf = (within) => [...within.querySelectorAll("[data-part], [data-region]")];
  const made = (within) => partsOf(within).map((each) => each.dataset.part).join();
  const hasRows = (within) => Boolean(within.querySelector("[data-region] tbody"));
  return made(main) !== made(found) || hasRows(main) !== hasRows(found);
}

function bringAll(page) {
  take(main, page.getElementById("main"));
  told();
}

// Nobody is in a place: no pointer (if it minds that), no focus, no text or box that is marked,
// nothing open to answer.
function isFree(place, minds) {
  const selection = getSelection();
  return !(
    (minds && place.matches(":hover")) ||
    (document.activeElement !== place && place.contains(document.activeElement)) ||
    (!selection.isCollapsed && selection.containsNode(place, true)) ||
    place.querySelector("input:checked, dialog[open], .arms")
  );
}

function keyOf(row) {
  return `${row.className.match(/depth-\d/) || ""} ${nameOf(row)}`;
}

function nameOf(row) {
  const head = row.querySelector("th a:not(.twig)") || row.querySelector("th");
  return head.getAttribute("href") || head.textContent.trim();
}

function rowsOf(place) {
  return [...place.querySelectorAll("tbody tr")];
}

function bringRows(region, fresh) {
  const keys = rowsOf(region).filter((row) => !("gone" in row.dataset)).map(keyOf);
  const freshRows = rowsOf(fresh);
  const isAsBefore = keys.every((key, at) => freshRows[at] && keyOf(freshRows[at]) === key);
  if (isAsBefore) {
    patch(region, fresh);
    append(region, freshRows.slice(keys.length));
    markOlder();
    if (region.hasAttribute("data-plain")) told();
    else offerPushes();
  } else if (region.hasAttribute("data-plain") && isFree(region, true)) {
    showRows(region, fresh);
  } else {
    patch(region, fresh);
    left = true;
    offerPushes(isSifted());
  }
}

function showRows(region, fresh) {
  const known = new Set(rowsOf(region).map(keyOf));
  take(region, fresh);
  for (const row of rowsOf(region)) {
    row.toggleAttribute("data-new", !known.has(keyOf(row)) || isPushed(row));
  }
  markOlder();
  told();
}

function isPushed(row) {
  const head = row.querySelector("th a:not(.twig)");
  return [...pushes.values()].some((push) => head && head.textContent === push.shown);
}

// Rows behind the last one move nothing. One that is struck through is there already.
function append(region, found) {
  const body = region.querySelector("tbody");
  const known = new Set(rowsOf(region).map(keyOf));
  const rows = found.filter((row) => !known.has(keyOf(row)));
  if (!rows.length || !body || region.querySelectorAll("[data-gone]").length > GONE_MAX) return;
  for (const row of rows) row.toggleAttribute("data-new", pushes.size > 0 || isSifted());
  body.append(...rows);
  if (isSifted()) say(`${rows.length} more in this list`);
  tell(region);
}

// Cells change where they stand.
function patch(place, fresh) {
  const found = new Map(rowsOf(fresh).map((row) => [keyOf(row), row]));
  for (const row of rowsOf(place)) {
    const other = found.get(keyOf(row));
    if (!other) continue;
    if (Number(row.dataset.gone) <= shownUpTo) unstrike(row);
    for (const [at, cell] of [...row.cells].entries()) {
      const now = other.cells[at];
      if (!now || cell.matches("th, .armed") || cell.textContent === now.textContent) continue;
      cell.replaceChildren(...now.childNodes);
      cell.title = now.title;
    }
  }
}

// -- rows that are gone

function strike(kind, name, message) {
  if (deletes.length < PUSHES_MAX) deletes.push([kind, name, message]);
  mark(kind, name, message);
}

// Rows of an answer that was made before what was told meanwhile.
function markOlder() {
  deletes = deletes.filter(([, , message]) => message.seq > shownUpTo);
  for (const each of deletes) mark(...each);
}

function mark(kind, name, message) {
  const table = main.querySelector(`[data-region] table.${kind}`);
  for (const row of table ? rowsOf(table) : []) {
    const head = row.querySelector("th");
    const own = kind === "tags" ? head.querySelector("a").textContent : head.title;
    if (own !== name || "gone" in row.dataset) continue;
    row.dataset.gone = message.seq;
    const note = document.createElement("span");
    note.className = "gone";
    note.textContent = `deleted${byWhom(message)}`;
    head.append(note);
    say(`${name} was ${note.textContent}`);
  }
}

function unstrike(row) {
  delete row.dataset.gone;
  row.querySelector("th .gone").remove();
}

function who(actor) {
  const [method, , ...rest] = actor.split(":");
  const text = (rest.join(":") || method || "").replace(HIDDEN, spelled);
  if (text === "anonymous") return "";
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function spelled(character) {
  return `\\u${character.codePointAt(0).toString(16).padStart(4, "0")}`;
}

function shortOf(digest) {
  return digest.split(":")[1].slice(0, 12);
}

function byWhom(message) {
  const name = who(message.actor);
  return name && ` by ${name}`;
}

// -- what is said

// What was pushed is shown.
function told() {
  if (pushes.size) {
    const last = [...pushes.values()].pop();
    say(`${count()}: ${last.reference}${last.by}`);
  }
  // One that came since is shown by the next answer.
  for (const [key, push] of pushes) if (push.seq <= shownUpTo) pushes.delete(key);
  if (left && !isLost) offer("");
  left = false;
}

function count() {
  const isMore = pushes.size >= PUSHES_MAX;
  const many = isMore ? `${PUSHES_MAX.toLocaleString("en")} or more` : pushes.size;
  return `${many} new push${pushes.size === 1 ? "" : "es"}`;
}

function offerPushes(isOther = false) {
  if (!(pushes.size || isOther) || isLost) return;
  left = true;
  const first = new URL(location.href);
  first.searchParams.delete("after");
  offer(pushes.size ? count() : "This list has changed", "Show", first.href);
}

// A line over the foot of the page, which moves nothing on it.
function offer(text, action = "", href = location.href) {
  bar.replaceChildren();
  if (text) bar.append(text);
  if (!action) return;
  const link = document.createElement("a");
  link.href = href;
  link.textContent = action;
  bar.append(" ", link);
}

bar?.addEventListener("click", async (event) => {
  const link = event.target.closest("a");
  const isPlain = !event.ctrlKey && !event.metaKey && !event.shiftKey;
  if (!link || !left || link.href !== location.href || !isPlain) return;
  event.preventDefault();
  const answer = await here.ask(location.href);
  if (!answer || answer.status !== 200) {
    location.reload();
    return;
  }
  const region = main.querySelector("[data-region]");
  const fresh = answer.page.querySelector("[data-region]");
  shownUpTo = Number(answer.page.getElementById("main").dataset.live);
  if (!region || isOtherwiseMade(answer.page.getElementById("main"))) bringAll(answer.page);
  else showRows(region, fresh);
});

// What waits for somebody to leave the list appears when they do.
for (const kind of ["mouseout", "focusout"]) {
  main.addEventListener(kind, (event) => {
    const region = event.target.closest("[data-region]");
    if (left && region && !region.contains(event.relatedTarget)) want(GATHER_MS);
  });
}
if (bar) lookAfterUploads();
