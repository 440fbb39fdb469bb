// What happens, as it happens: one socket, which begins where the page ends and comes back where it
// was. The server decides about each event whether this viewer is told of it.

import { hear, lose, refuse } from "./news.js";

const FIRST_MS = 1000;
const LONGEST_MS = 30000;
const SILENT_MS = 60000;
const main = document.getElementById("main");
const state = document.getElementById("live");
const ENDED = { 4401: "Your sign-in has ended." };

let cursor = main.dataset.live;
let socket = null;
let failures = 0;
let timer = 0;

function tell(word, title) {
  if (state.dataset.state === word) return;
  state.hidden = false;
  state.dataset.state = word;
  state.title = title;
  state.lastElementChild.textContent = word;
}

function address() {
  const found = new URL("/v2/_ext/_events", location.href);
  found.protocol = location.protocol.replace("http", "ws");
  found.searchParams.set("after", cursor);
  const isOfOne = main.dataset.name && !("deep" in main.dataset);
  if (isOfOne) found.searchParams.set("namespace", main.dataset.name);
  return found;
}

function wait(milliseconds, act) {
  clearTimeout(timer);
  timer = setTimeout(act, milliseconds);
}

function leave() {
  clearTimeout(timer);
  const one = socket;
  socket = null;
  if (one) one.close();
}

function connect() {
  leave();
  const one = new WebSocket(address());
  let isHeard = false;
  socket = one;
  // A connection that is dead and does not know it says nothing, where there is a heartbeat.
  const watch = () => wait(SILENT_MS, again);
  watch();
  one.addEventListener("message", (event) => {
    if (socket !== one) return;
    isHeard = true;
    failures = 0;
    tell("live", "This page shows what happens");
    watch();
    receive(JSON.parse(event.data));
  });
  one.addEventListener("close", (event) => {
    if (socket !== one) return;
    socket = null;
    if (event.code in ENDED) end(event);
    else if (isHeard) again();
    else look();
  });
}

function receive(message) {
  cursor = String(message.seq);
  if (message.type === "reset") lose();
  else if (message.type !== "heartbeat") hear(message);
}

function end(event) {
  tell("off", "This page shows what was there when it was loaded");
  if (event.reason === "unauthorized") refuse(ENDED[event.code]);
}

// A browser does not say why a socket was refused; the page's own address and the feed do.
function look() {
  statusOf("HEAD", location.href, (ofPage) => {
    if (ofPage === 401) end({ code: 4401, reason: "unauthorized" });
    else if (ofPage === 403) end({ code: 4401, reason: "denied" });
    else if (ofPage !== 200) again();
    else {
      statusOf("HEAD", `/v2/_ext/_events?after=${cursor}`, (ofFeed) => {
        if ([401, 403, 404].includes(ofFeed)) end({ code: 4401, reason: "denied" });
        else again();
      });
    }
  });
}

function statusOf(method, url, hearStatus) {
  const request = new XMLHttpRequest();
  request.timeout = 15000;
  request.open(method, url);
  request.addEventListener("loadend", () => hearStatus(request.status));
  request.send();
}

// A second first, then up to twice as long each time, by chance: not all come back at once.
function again() {
  leave();
  if (document.hidden) return;
  tell("reconnecting", "The registry does not answer; this page tries again");
  const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** failures);
  failures = Math.min(failures + 1, 10);
  wait(FIRST_MS + Math.random() * (longest - FIRST_MS), connect);
}

// Nobody looks at a page that is hidden; when it is shown again the cursor catches up.
function wake() {
  if (document.hidden) leave();
  else if (!cursor) tell("off", "You may not listen to what happens here");
  else if (state.dataset.state !== "off") connect();
}

if (state) {
  document.addEventListener("visibilitychange", wake);
  wake();
}
