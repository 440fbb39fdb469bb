// Choosing several rows: one box for all of the page, a range with the shift key, a list to copy.

let last = null;

const boxesOf = (form) => [...form.querySelectorAll("tbody input[type=checkbox]:not([disabled])")];

function count(form, boxes, all) {
  const whole = form.querySelector("[data-all]");
  return all ? Number(whole.dataset.all) : boxes.filter((box) => box.checked).length;
}

function show(form) {
  const boxes = boxesOf(form);
  const chosen = boxes.filter((box) => box.checked);
  const submit = form.querySelector("[data-submit]");
  const whole = form.querySelector("[data-all]");
  const head = form.querySelector("[data-page]");
  const isAll = form.dataset.every === "true";
  if (submit) {
    const number = count(form, boxes, isAll);
    submit.dataset.label ||= submit.textContent;
    submit.disabled = number === 0;
    submit.textContent = number
      ? submit.dataset.label.replace("selected", `${number} selected`)
      : submit.dataset.label;
    submit.name = isAll ? "all" : "";
    submit.value = isAll ? "1" : "";
  }
  if (whole) {
    whole.hidden = isAll || chosen.length === 0 || chosen.length >= Number(whole.dataset.all);
  }
  if (head) {
    head.checked = chosen.length > 0 && chosen.length === boxes.length;
    head.indeterminate = chosen.length > 0 && !head.checked;
  }
  listOf(form, chosen);
}

// A tag is its name, a manifest its digest.
function referenceOf(row) {
  const head = row.querySelector("th");
  return row.closest("table").matches(".tree") ? head.title : head.querySelector("a").textContent;
}

function listOf(form, chosen) {
  const list = form.querySelector("[data-what='the list']");
  if (!list) return;
  const rows = chosen.length ? chosen.map((box) => box.closest("tr")) : form.querySelectorAll("tbody tr");
  const names = [...rows].map(referenceOf);
  list.dataset.copy = names.map((name) => form.dataset.chosen + name).join("\n");
}

function offerAll(form) {
  const head = form.querySelector("thead .c-name");
  if (!head || !boxesOf(form).length || head.querySelector("[data-page]")) return;
  const box = document.createElement("input");
  box.type = "checkbox";
  box.dataset.page = "";
  box.setAttribute("aria-label", "Select all on this page");
  head.prepend(box);
  const whole = form.querySelector("[data-all]");
  if (whole) {
    whole.textContent = whole.textContent.replace("Delete", "Select").replace("…", "");
    whole.classList.remove("danger");
  }
}

function offer(within) {
  last = null;
  for (const form of within.querySelectorAll("form.chosen")) {
    const list = form.querySelector("[data-what='the list']");
    if (list) list.hidden = false;
    offerAll(form);
    show(form);
  }
}

document.addEventListener("click", (event) => {
  const form = event.target.closest("form.chosen");
  if (!form) return;
  if (event.target.closest("[data-all]")) {
    event.preventDefault();
    for (const box of boxesOf(form)) box.checked = true;
    form.dataset.every = "true";
    show(form);
    form.querySelector("[data-submit]").focus();
    return;
  }
  const box = event.target.closest("input[type=checkbox]");
  if (!box) return;
  const boxes = boxesOf(form);
  form.dataset.every = "false";
  if (box.hasAttribute("data-page")) {
    for (const each of boxes) each.checked = box.checked;
  } else {
    if (event.shiftKey && last && boxes.includes(last)) {
      const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
      for (const each of boxes.slice(from, to + 1)) each.checked = box.checked;
    }
    last = box;
  }
  show(form);
});

offer(document);
document.addEventListener("region", (event) => offer(event.target));
