// Where rows become cards, an older browser forgets that they are a table: here it is told.

const ROLES = {
  table: "table",
  thead: "rowgroup",
  tbody: "rowgroup",
  tr: "row",
  td: "cell",
  "thead th": "columnheader",
  "tbody th": "rowheader",
};
const narrow = matchMedia("(max-width: 640px)");

function tell(within) {
  if (!narrow.matches) return;
  for (const [selector, role] of Object.entries(ROLES)) {
    for (const element of within.querySelectorAll(selector)) element.setAttribute("role", role);
  }
}

tell(document);
narrow.addEventListener("change", () => tell(document));
document.addEventListener("region", (event) => tell(event.target));
