// Keys of the page: `/` goes to the filter. Never while something is typed, and never in the place
// of a combination of the browser's own.

const find = () => document.querySelector("[data-filter]");

for (const hint of document.querySelectorAll("[data-scripted]")) hint.hidden = !find();

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const filter = find();
  const isTyping = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && filter && !isTyping) {
    event.preventDefault();
    filter.focus();
    filter.select();
  }
});
