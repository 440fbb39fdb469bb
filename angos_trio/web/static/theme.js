// The theme changes where one is: the form is sent beside the page, not in its place.

const form = document.querySelector("form.theme");

function apply(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  for (const button of form.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.value === theme));
  }
}

form.addEventListener("submit", (event) => {
  const theme = event.submitter && event.submitter.value;
  if (!theme) return;
  event.preventDefault();
  const request = new XMLHttpRequest();
  request.open("POST", form.action);
  request.timeout = 15000;
  const data = new URLSearchParams({ theme, next: "/_ui/config" });
  request.send(data);
  apply(theme);
});
