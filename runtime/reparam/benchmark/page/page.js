// A series of the legend, pressed, stands alone in all plots; pressed again, or Escape, brings the others back.
"use strict";
const plots = document.querySelector(".plots");
const buttons = [...document.querySelectorAll(".legend button")];
let alone = null;
function show(series) {
  plots.querySelectorAll(".panels [class]").forEach((part) => {
    part.classList.toggle("faint", series !== null && !part.classList.contains(series));
  });
}
buttons.forEach((button) => {
  const series = button.dataset.series;
  button.addEventListener("click", () => {
    alone = alone === series ? null : series;
    buttons.forEach((other) => other.setAttribute("aria-pressed", String(other.dataset.series === alone)));
    show(alone);
  });
  button.addEventListener("mouseenter", () => show(series));
  button.addEventListener("mouseleave", () => show(alone));
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && alone !== null) {
    buttons.find((button) => button.dataset.series === alone).click();
  }
});
