// Times as people say them go on while the page is open, by the clock of the server.

const EACH_MS = 1000;
const STEPS = [
  [60, 1, "second"],
  [3600, 60, "minute"],
  [86400, 3600, "hour"],
  [30 * 86400, 86400, "day"],
  [365 * 86400, 30 * 86400, "month"],
  [Infinity, 365 * 86400, "year"],
];
const main = document.getElementById("main");
const opened = { server: Number(main.dataset.now), here: Date.now() / 1000 };

// The same words as the server's.
function ago(secs) {
  if (secs < 5) return "just now";
  const [, unit, name] = STEPS.find(([below]) => secs < below);
  const count = Math.floor(secs / unit);
  return `${count.toLocaleString("en")} ${name}${count === 1 ? "" : "s"} ago`;
}

function go() {
  if (document.hidden) return;
  const times = [...main.querySelectorAll("time[datetime]")];
  // A page that the browser had kept is older than what came to it since.
  const newest = Math.max(0, ...times.map((time) => Date.parse(time.dateTime) / 1000 || 0));
  const passed = Math.max(0, Date.now() / 1000 - opened.here);
  opened.server = Math.max(opened.server, newest - passed);
  const now = opened.server + passed;
  for (const time of times) {
    if (!time.textContent.match(/ ago$|^just now$/)) continue;
    const text = ago(Math.floor(now - Date.parse(time.dateTime) / 1000));
    if (text !== time.textContent) time.textContent = text;
  }
}

if (opened.server) setInterval(go, EACH_MS);
