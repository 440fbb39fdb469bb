// Keys of the page: `/` goes to the filter or the box that finds, `?` to the help, `g` and a letter
// to a place of the header. Never while something is typed, never in the place of a combination of
// the browser's own, and not at all where somebody has switched them off.

const WAIT_MS = 1500;

// Looked for each time: a list that is taken from a newer page has a field of its own.
const field = () => document.querySelector("[data-filter]") || document.querySelector("[data-find]");
const isOn = document.documentElement.dataset.keys !== "off";
let goes = 0;

for (const hint of document.querySelectorAll("[data-scripted]")) hint.hidden = !isOn;

function go(letter) {
  const link = document.querySelector(`[data-go="${CSS.escape(letter)}"]`);
  if (link) location.assign(link.href);
}

function handle(event) {
  const wanted = field();
  if (event.key === "/" && wanted) {
    event.preventDefault();
    wanted.focus();
    wanted.select();
  } else if (event.key === "?") {
    location.assign("/_ui/help#keys");
  } else if (event.key === "g") {
    goes = event.timeStamp;
    return;
  } else if (goes && event.timeStamp - goes < WAIT_MS) {
    go(event.key);
  }
  goes = 0;
}

document.addEventListener("keydown", (event) => {
  if (!isOn || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  if (!event.target.closest("input, textarea, select, [contenteditable]")) handle(event);
});
